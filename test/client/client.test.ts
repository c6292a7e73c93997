// Tests the client itself: options, deadlines, retries, closing.
import { createServer, connect as dial, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { proxyOf } from "../../client/core/address.js";
import { Cortex, CortexError } from "../../client/index.js";
import { defaults } from "../../server/config/config.js";
import { start } from "../../server/start.js";
import { cleanEnvironment, root, run } from "../support/process.js";
import { proxyToPostgres } from "../support/proxy.js";
import { serve, testLog } from "../support/server.js";

const s = serve();

describe("options", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("come from the environment where they are absent", async () => {
    vi.stubEnv("CORTEX_ADDRESS", s.address);
    vi.stubEnv("CORTEX_TENANT", "from-env");
    vi.stubEnv("CORTEX_TOKEN", "secret");
    await using cortex = new Cortex();
    await cortex.mutable.set("ns", "k", 1);
    expect(await s.client({ tenantId: "from-env" }).mutable.get("ns", "k")).toBe(1);
    await using other = new Cortex({ tenantId: "given" });
    expect(await other.mutable.get("ns", "k")).toBeNull();
  });

  it("that are wrong are refused at once", () => {
    for (const options of [
      { tenant: "typo" },
      { timeoutMs: 0 },
      { timeoutMs: Number.NaN },
      { agentId: "é" },
      { token: "a\nb" },
      { address: 5 },
      { address: "http://localhost:50051" },
      { address: "localhost" },
      { address: "localhost:" },
      { address: "localhost:abc" },
      { address: "localhost:0" },
      { address: "localhost:65536" },
      { address: ":50051" },
      { address: "::1" },
      { address: "local host:1" },
      { token: "Bearer abc" },
    ])
      expect(() => new Cortex(options as object)).toThrow(
        expect.objectContaining({ code: "INVALID_CONFIG" }),
      );
  });
});

describe("a server that cannot be reached", () => {
  it("is UNAVAILABLE when the time is up, naming the address", async () => {
    await using cortex = new Cortex({ address: "127.0.0.1:1", timeoutMs: 300 });
    const error = await cortex.mutable.get("ns", "k").catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CortexError);
    expect(error).toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      details: { address: "127.0.0.1:1" },
    });
  });

  it("is waited for: a write made before the server is there succeeds", async () => {
    const port = await freePort();
    await using cortex = new Cortex({ address: `127.0.0.1:${port}`, timeoutMs: 15_000 });
    const written = cortex.mutable.set("early", "k", 1);
    await pause(300);
    await s.another({ listen: `127.0.0.1:${port}` });
    expect((await written).value).toBe(1);
  });
});

it("a database that is away for seconds is waited for, by calls of each kind", async () => {
  const { proxy, url } = await proxyToPostgres(s.databaseUrl);
  const running = await start({ ...defaults, listen: "127.0.0.1:0" }, url, testLog);
  const cortex = s.client({ address: running.address });
  await cortex.mutable.set("away", "k", 0);
  proxy.close();
  const calls = Promise.all([
    cortex.mutable.get("away", "k"),
    cortex.mutable.increment("away", "n", 1, { createIfMissing: true }).then(({ value }) => value),
    cortex.mutable.list("away").then(({ records }) => records.length),
    cortex.mutable.update("away", "k", (n: number) => n).then(({ value }) => value),
    cortex.mutable.transaction(async (tx) => {
      tx.set("away", "t", 1);
      return "done";
    }),
    cortex.immutable.store({ type: "away", id: "i", data: {} }).then(({ version }) => version),
  ]);
  await pause(4000);
  await proxy.open();
  expect(await calls).toEqual([0, 1, expect.any(Number), 0, "done", 1]);
  await running.stop();
  proxy.close();
});

it("many calls that wait for a server make one search for a mistake in TLS", async () => {
  let handshakes = 0;
  const silent = createServer((socket) => {
    socket.once("data", (bytes) => {
      if (bytes[0] === 0x16) handshakes++; // a TLS handshake
    });
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as { port: number };
  const cortex = s.client({ address: `127.0.0.1:${port}`, timeoutMs: 1500 });
  const calls = Array.from({ length: 200 }, () => cortex.mutable.get("ns", "k"));
  for (const { reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[])
    expect(reason).toMatchObject({ code: "UNAVAILABLE" });
  expect(handshakes).toBeGreaterThan(0);
  expect(handshakes).toBeLessThan(10);
  await cortex.close();
  silent.close();
});

describe("a proxy in the environment", () => {
  const variables = ["http_proxy", "https_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy"];
  afterEach(() => vi.unstubAllEnvs());

  it("is not used for this machine", async () => {
    for (const name of variables) vi.stubEnv(name, undefined);
    vi.stubEnv("http_proxy", "http://127.0.0.1:1");
    const port = s.address.replace(/.*:/, "");
    for (const host of ["127.0.0.1", "localhost"]) {
      await using cortex = new Cortex({ address: `${host}:${port}`, timeoutMs: 5000 });
      await cortex.mutable.set("proxy", "k", 1);
    }
  });

  it("is named if the server is not reached through it", async () => {
    for (const name of variables) vi.stubEnv(name, undefined);
    vi.stubEnv("http_proxy", "http://user:secret@127.0.0.1:1");
    const cortex = s.client({ address: "store.example:50051", timeoutMs: 500 });
    await expect(cortex.mutable.get("proxy", "k")).rejects.toThrow(
      /^no server can be reached at store\.example:50051 through the proxy 127\.0\.0\.1:1 \(http_proxy\)/,
    );
  });
});

describe("a proxy that gRPC does not use", () => {
  afterEach(() => vi.unstubAllEnvs());

  it.each([
    ["excepted by its network", "http://127.0.0.1:1", "203.0.113.0/24", undefined],
    ["excepted by its name", "http://127.0.0.1:1", "x,.113.5", undefined],
    ["with another scheme", "socks5://127.0.0.1:1", "", undefined],
    ["that is no URL", "nonsense", "", undefined],
    [
      "(one that it uses)",
      "http://u:p@127.0.0.1:1",
      "203.0.114.0/24,x",
      "127.0.0.1:1 (http_proxy)",
    ],
  ])("is not named: %s", (_, proxy, noProxy, named) => {
    for (const name of ["https_proxy", "grpc_proxy", "no_grpc_proxy"]) vi.stubEnv(name, undefined);
    vi.stubEnv("http_proxy", proxy);
    vi.stubEnv("no_proxy", noProxy);
    expect(proxyOf("203.0.113.5:50051")).toBe(named);
  });
});

describe("a lost reply", () => {
  /**
   * Starts a proxy to the server. It forwards the first `pass` calls with their replies. For each of the next
   * `cuts` calls it cuts the connection instead of sending the reply.
   */
  async function cuttingProxy(cuts: number, pass = 0) {
    const [host = "", port = ""] = s.address.split(":");
    const sockets = new Set<Socket>();
    let calls = 0;
    const proxy = createServer((client) => {
      const server = dial(Number(port), host);
      sockets.add(client).add(server);
      for (const socket of [client, server]) socket.on("error", () => {});
      client.on("data", (data) => {
        server.write(data);
        if (hasHeadersFrame(data)) calls++; // headers begin a call
      });
      server.on("data", (data) => {
        if (hasHeadersFrame(data) && calls > pass && calls <= pass + cuts) client.destroy();
        else client.write(data);
      });
      client.on("close", () => server.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(proxy.address() as { port: number }).port}`;
    return {
      address,
      calls: () => calls,
      close() {
        for (const socket of sockets) socket.destroy();
        proxy.close();
      },
    };
  }
  const frames = (data: Buffer) => {
    const types: number[] = [];
    let at = data.subarray(0, 3).toString() === "PRI" ? 24 : 0;
    for (; at + 9 <= data.length; at += 9 + data.readUIntBE(at, 3))
      types.push(data.readUInt8(at + 3));
    return types;
  };
  const hasHeadersFrame = (data: Buffer) => frames(data).includes(1);

  it("of a read is not noticed: the client repeats the call", async () => {
    await s.cortex.mutable.set("lost", "k", 1);
    const proxy = await cuttingProxy(2);
    await using cortex = new Cortex({ address: proxy.address, timeoutMs: 10_000 });
    expect(await cortex.mutable.getRecord("lost", "k")).toMatchObject({ value: 1 });
    expect(proxy.calls()).toBe(3);
    proxy.close();
  });

  it("of a write is not noticed: the client repeats it, and it is applied once", async () => {
    await s.cortex.mutable.set("lost", "n", 0);
    const proxy = await cuttingProxy(2);
    await using cortex = new Cortex({ address: proxy.address, timeoutMs: 10_000 });
    expect((await cortex.mutable.increment("lost", "n")).value).toBe(1);
    expect(proxy.calls()).toBe(3);
    expect((await s.cortex.mutable.getRecord("lost", "n"))?.value).toBe(1);
    proxy.close();
  });

  it("of an update does not run it twice", async () => {
    await s.cortex.mutable.set("lost", "line", 0);
    const proxy = await cuttingProxy(1, 1); // the read passes; the reply of the commit is lost
    await using cortex = new Cortex({ address: proxy.address, timeoutMs: 10_000 });
    expect((await cortex.mutable.update("lost", "line", (n) => n + 1)).value).toBe(1);
    expect((await cortex.mutable.update("lost", "line", (n) => n + 1)).value).toBe(2);
    expect(await s.cortex.mutable.get("lost", "line")).toBe(2);
    proxy.close();
  });
});

describe("calls", () => {
  it("fail with CANCELLED and the signal's reason, before and while they run", async () => {
    const reason = new Error("enough");
    const aborted = AbortSignal.abort(reason);
    const error = await s.cortex.mutable
      .get("ns", "k", { signal: aborted })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "CANCELLED", cause: reason });
  });

  it("refuse an invalid timeout", async () => {
    for (const timeoutMs of [0, -1, Number.NaN])
      await expect(s.cortex.mutable.get("ns", "k", { timeoutMs })).toFailWith("INVALID_CONFIG");
  });

  it("fail after close()", async () => {
    const cortex = new Cortex({ address: s.address });
    await cortex.mutable.get("ns", "k");
    await cortex.close();
    await expect(cortex.mutable.get("ns", "k")).toFailWith("CANCELLED");
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

it("changes nothing global: the host application's protobuf decodes as before", async () => {
  const script = `
    import { getTextEncoding } from "@bufbuild/protobuf/wire";
    const before = getTextEncoding();
    const { Cortex } = await import("./client/index.ts");
    const cortex = new Cortex({ address: process.argv[1] });
    await cortex.mutable.set("ns", "\\ufeffkey", 1);
    const [record] = (await cortex.mutable.list("ns")).records;
    console.log(getTextEncoding() === before, record.key === "\\ufeffkey");
    await cortex.close();`;
  const args = ["--import", "tsx", "--input-type=module", "-e", script, s.address];
  const { out, err } = await run(process.execPath, args, { cwd: root, env: cleanEnvironment() });
  expect([out, err]).toEqual(["true true\n", ""]);
});
