// A TCP proxy that can delay replies and cut connections.
import { createServer, connect as dial, type Socket } from "node:net";

export interface Proxy {
  port: number;
  /** Delays all replies until `release`. */
  hold(): void;
  release(): void;
  /** Cuts every connection abruptly. */
  cut(): void;
  /**
   * Drops from now on what either side sends over the open connections, and leaves them open. With `all`, also
   * over new ones, until `thaw`.
   */
  freeze(all?: boolean): void;
  thaw(): void;
  /** Accepts no more connections, and cuts the open ones. */
  close(): void;
  /** Accepts connections again after `close`, on the same port. */
  open(): Promise<void>;
  /** Called with the data that a client sends. If it returns true, the data is dropped. */
  onSend: ((data: Buffer) => boolean) | undefined;
}

export async function proxyTo(target: { path: string } | { host: string; port: number }) {
  const sockets = new Set<Socket>();
  const frozen = new WeakSet<Socket>();
  let freezesNew = false;
  let delayed: (() => void)[] | undefined;
  const server = createServer((client) => {
    const upstream = "path" in target ? dial(target.path) : dial(target.port, target.host);
    sockets.add(client).add(upstream);
    if (freezesNew) frozen.add(client);
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.on("data", (data) => {
      if (!frozen.has(client) && !proxy.onSend?.(data)) upstream.write(data);
    });
    upstream.on("data", (data) => {
      if (frozen.has(client)) return;
      if (delayed) delayed.push(() => client.write(data));
      else client.write(data);
    });
    // Over a frozen connection, nobody learns that the other side has closed it.
    client.on("close", () => {
      if (!frozen.has(client)) upstream.destroy();
    });
    upstream.on("close", () => {
      if (!frozen.has(client)) client.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: Proxy = {
    port: (server.address() as { port: number }).port,
    hold() {
      delayed ??= [];
    },
    release() {
      const all = delayed ?? [];
      delayed = undefined;
      for (const send of all) send();
    },
    cut() {
      delayed = undefined;
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
    freeze(all = false) {
      for (const socket of sockets) frozen.add(socket);
      freezesNew = all;
    },
    thaw() {
      freezesNew = false;
    },
    close() {
      server.close();
      proxy.cut();
    },
    open: () => new Promise<void>((resolve) => server.listen(proxy.port, "127.0.0.1", resolve)),
    onSend: undefined,
  };
  return proxy;
}

/** A proxy to the server at HOST:PORT. */
export function proxyToServer(address: string) {
  const [host = "", port = ""] = address.split(":");
  return proxyTo({ host, port: Number(port) });
}

/** A proxy to the Postgres of a URL, and the URL that leads through the proxy. */
export async function proxyToPostgres(databaseUrl: string) {
  const url = new URL(databaseUrl);
  const directory = url.searchParams.get("host");
  const port = Number(url.port || 5432);
  const proxy = await proxyTo(
    directory ? { path: `${directory}/.s.PGSQL.${port}` } : { host: url.hostname, port },
  );
  url.searchParams.delete("host");
  url.hostname = "127.0.0.1";
  url.port = `${proxy.port}`;
  return { proxy, url: url.href };
}

/**
 * Starts a proxy that cuts the first streaming call between the last message of its reply and the trailers.
 * Returns the port.
 */
export async function proxyThatCutsTheEnd(address: string): Promise<number> {
  const [host = "", port = ""] = address.split(":");
  let armed = true;
  const server = createServer((client) => {
    const upstream = dial(Number(port), host);
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.on("data", (data) => upstream.write(data));
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    let rest = Buffer.alloc(0);
    let messages = false;
    upstream.on("data", (data) => {
      rest = Buffer.concat([rest, data]);
      for (let size = 9 + rest.readUIntBE(0, 3); rest.length >= size; ) {
        const [type, flags] = [rest[3] ?? 0, rest[4] ?? 0]; // HTTP/2 frame types: 0 is DATA, 1 is HEADERS
        messages ||= type === 0 && size > 9;
        if (armed && messages && type === 1 && flags & 1) {
          armed = false;
          setTimeout(() => client.destroy(), 20);
          return;
        }
        client.write(rest.subarray(0, size));
        rest = rest.subarray(size);
        if (rest.length < 9) break;
        size = 9 + rest.readUIntBE(0, 3);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return (server.address() as { port: number }).port;
}
