// A TCP proxy that can hold back what the server says, and cut.
import { createServer, connect as dial, type Socket } from "node:net";

export interface Proxy {
  port: number;
  /** Keeps the replies until they are released. */
  hold(): void;
  release(): void;
  /** Cuts every connection, without a word. */
  cut(): void;
  /** Takes no more connections, and cuts. */
  close(): void;
  /** Sees what a client sends; true: it is not passed on. */
  onSend: ((data: Buffer) => boolean) | undefined;
}

export async function proxyTo(target: { path: string } | { host: string; port: number }) {
  const sockets = new Set<Socket>();
  let held: (() => void)[] | undefined;
  const server = createServer((client) => {
    const upstream = "path" in target ? dial(target.path) : dial(target.port, target.host);
    sockets.add(client).add(upstream);
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.on("data", (data) => {
      if (!proxy.onSend?.(data)) upstream.write(data);
    });
    upstream.on("data", (data) => {
      if (held) held.push(() => client.write(data));
      else client.write(data);
    });
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: Proxy = {
    port: (server.address() as { port: number }).port,
    hold() {
      held ??= [];
    },
    release() {
      const all = held ?? [];
      held = undefined;
      for (const send of all) send();
    },
    cut() {
      held = undefined;
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
    close() {
      server.close();
      proxy.cut();
    },
    onSend: undefined,
  };
  return proxy;
}

/** A proxy to the server at HOST:PORT. */
export function proxyToServer(address: string) {
  const [host = "", port = ""] = address.split(":");
  return proxyTo({ host, port: Number(port) });
}

/** A proxy to the Postgres of a URL, and the URL through it. */
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

/** The port of a proxy that cuts the first call whose messages have all come, before it says that it has ended. */
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
        const [type, flags] = [rest[3] ?? 0, rest[4] ?? 0]; // of an HTTP/2 frame: 0 is DATA, 1 HEADERS
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
