// Attacks on a server, by callers without credentials and by a tenant: what they cost in memory, and what another
// tenant notices. `npm run test:attack` runs them at length and prints the table of docs/security.md.
import { readFile, writeFile } from "node:fs/promises";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { create, type DescMethod, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flag, frame, frameType, headers, preface } from "../../bench/load.js";
import { Cortex } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { connect as connectToPostgres, type Sql } from "../../server/postgres/connection.js";
import { keyFile, newKey } from "../support/credentials.js";
import { temporaryDirectory } from "../support/directory.js";
import { framed } from "../support/frames.js";
import { type ServerProcess, spawnServer } from "../support/process.js";
import { cloneDatabase } from "../support/server.js";

/** 1 in `npm run test:attack`. */
const scale = Number(process.env.ATTACK_SCALE ?? 0.05);
const isLong = scale >= 1;
const megabyte = 1024 * 1024;
const residentMax = 1500; // MiB

const keys = { attacker: newKey(), victim: newKey() };
const directory = temporaryDirectory();
let database: Awaited<ReturnType<typeof cloneDatabase>>;
let server: ServerProcess;
let sql: Sql;
let attacker: Cortex;
let victim: Cortex;
const table: string[] = [];

beforeAll(async () => {
  const { path } = await directory;
  const file = join(path, "keys.json");
  await writeFile(
    file,
    keyFile([
      { principal: "attacker", key: keys.attacker, tenants: ["attacker"] },
      { principal: "victim", key: keys.victim, tenants: ["victim"] },
    ]),
  );
  database = await cloneDatabase();
  sql = connectToPostgres(database.url, { max: 1 });
  const settings = ["--auth", "keys", "--auth-keys-file", file, "--database-url", database.url];
  server = await spawnServer([...settings, "--stall-seconds", "3"]);
  const client = (token: string) =>
    new Cortex({ address: server.address, token, timeoutMs: isLong ? 60_000 : 20_000 });
  attacker = client(keys.attacker);
  victim = client(keys.victim);
  await victim.mutable.set("own", "k", 1);
  await victim.immutable.store({ type: "note", id: "own", data: { text: "a quiet note" } });
});
afterAll(async () => {
  if (isLong) console.log(table.join("\n"));
  await attacker.close();
  await victim.close();
  await sql.end();
  await server.end();
  await database.drop();
  await (await directory).remove();
});

/** Resident memory of the server, in MiB. */
async function resident(): Promise<number> {
  const text = await readFile(`/proc/${server.child.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]) / 1024;
}

const percentile = (times: number[], p: number) =>
  times.sort((a, b) => a - b)[Math.floor((times.length - 1) * p)] ?? 0;

/** The times of calls of the victim, one after the other, until `isOver`. */
async function watch(call: () => Promise<unknown>, isOver: () => boolean): Promise<number[]> {
  const times: number[] = [];
  while (!isOver()) {
    const startedAt = performance.now();
    await call();
    times.push(performance.now() - startedAt);
    await pause(5);
  }
  return times;
}

/** Runs an attack, and watches the memory of the server and the calls of another tenant. */
async function attack(
  name: string,
  run: () => Promise<unknown>,
  call: () => Promise<unknown> = () => victim.mutable.get("own", "k"),
) {
  const quietUntil = performance.now() + (isLong ? 3000 : 300);
  const quiet = await watch(call, () => performance.now() > quietUntil);
  const before = await resident();
  let isOver = false;
  let height = before;
  const memory = (async () => {
    while (!isOver) {
      height = Math.max(height, await resident());
      await pause(50);
    }
  })();
  const watching = watch(call, () => isOver);
  const startedAt = performance.now();
  await run().finally(() => {
    isOver = true;
  });
  const seconds = (performance.now() - startedAt) / 1000;
  await memory;
  const during = await watching;
  if (isLong) await pause(10_000);
  const times = [quiet, during].flatMap((all) => [percentile(all, 0.5), percentile(all, 0.99)]);
  const numbers = [seconds, before, height, await resident(), ...times];
  table.push(`| ${name} | ${numbers.map((n) => Math.round(n * 10) / 10).join(" | ")} |`);
  expect(height).toBeLessThan(residentMax);
}

const sessions: ClientHttp2Session[] = [];

/** A connection from an address of the loopback network. Its window is so large; 0: it takes nothing. */
function open(localAddress: string, initialWindowSize = 65_535): ClientHttp2Session {
  const [host, port] = server.address.split(":");
  const session = connect(`http://${server.address}`, {
    settings: { initialWindowSize },
    createConnection: () => connectSocket({ host, port: Number(port), localAddress }),
  });
  session.setMaxListeners(0).on("error", () => {});
  sessions.push(session);
  return session;
}

function closeAll(): void {
  for (const session of sessions.splice(0)) session.destroy();
}

function request(
  session: ClientHttp2Session,
  path: string,
  more: Record<string, string> = {},
): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...more,
  });
  return stream.on("error", () => {}).resume();
}

/** A connection that sends these frames. */
function connectFrames(...frames: Buffer[]): Socket {
  const [host, port] = server.address.split(":");
  const socket = connectSocket(Number(port), host);
  const settings = frame(frameType.settings, 0, 0, Buffer.alloc(0));
  socket.write(Buffer.concat([preface, settings, ...frames]));
  return socket;
}

const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`;
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

/** The status of a call; undefined if its connection was closed. */
const statusOf = (stream: ClientHttp2Stream): Promise<number | undefined> =>
  new Promise((resolve) => {
    const seen = (fields: Record<string, unknown>) => {
      if (fields["grpc-status"] !== undefined) resolve(Number(fields["grpc-status"]));
    };
    stream.on("response", seen).on("trailers", seen);
    stream.once("close", () => resolve(undefined));
  });

function call<M extends DescMethod>(
  session: ClientHttp2Session,
  method: M,
  message: MessageInitShape<M["input"]>,
  more: Record<string, string>,
): ClientHttp2Stream {
  const stream = request(session, pathOf(method), more);
  stream.end(framed(toBinary(method.input, create(method.input, message as never))));
  return stream;
}

describe("a caller without credentials", () => {
  it("cannot fill the memory with messages to health and reflection", async () => {
    await attack("400 half-sent messages of 5 MB to Health/Check", async () => {
      // By frames: Node 20 aborts at its end after its own client has left so many calls half-sent.
      const block = headers(server.address, pathOf(Health.method.check), {});
      const message = framed(Buffer.alloc(100), { length: 5_000_000 });
      const streams = Array.from({ length: 400 }, (_, i) => 2 * i + 1);
      const socket = connectFrames(
        ...streams.flatMap((stream) => [
          frame(frameType.headers, flag.endHeaders, stream, block),
          frame(frameType.data, 0, stream, message),
        ]),
      );
      const answered = new Set<number>();
      for await (const bytes of socket) {
        // The server sends frames one by one.
        for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
          if (bytes[at + 3] === frameType.headers) answered.add(bytes.readUInt32BE(at + 5));
        if (answered.size === streams.length) break;
      }
    });
  });

  it("cannot fill the memory with many messages to reflection either", async () => {
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const message = framed(Buffer.from([0x3a, 0x01, 0x2a])); // list_services: "*"
    const stream = request(open("127.0.0.6"), path);
    const closed = new Promise((resolve) => stream.once("close", resolve));
    stream.write(Buffer.concat(Array.from({ length: 10_000 }, () => message))); // 80 KB
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    closeAll();
  });

  it("has few watches of health on a connection", async () => {
    await attack("20 000 watches of health", async () => {
      for (let i = 0; i < (isLong ? 200 : 4); i++) {
        const session = open("127.0.0.3");
        const watches = Array.from({ length: 100 }, () =>
          call(session, Health.method.watch, { service: "" }, {}),
        );
        const refused = await Promise.all(
          watches.map((stream) => Promise.race([statusOf(stream), pause(1000).then(() => "open")])),
        );
        // Once the address is kept out, none.
        expect(refused.filter((one) => one === "open").length).toBeLessThanOrEqual(8);
        if (i < 4)
          expect(refused.filter((one) => one === status.RESOURCE_EXHAUSTED)).toHaveLength(92);
      }
      closeAll();
    });
  });

  for (const [what, address, path, expected] of [
    [
      "calls without credentials",
      "127.0.0.4",
      pathOf(MutableStore.method.get),
      status.UNAUTHENTICATED,
    ],
    ["calls of an RPC that does not exist", "127.0.0.5", "/cortex.None/None", status.UNIMPLEMENTED],
  ] as const)
    it(`is cut off after a thousand ${what}, and does not fill the log`, async () => {
      const logged = server.err().length;
      let calls = 0;
      let connections = 0;
      await attack(`a flood of ${what}`, async () => {
        const until = performance.now() + 10_000 * scale;
        for (; performance.now() < until; connections++) {
          const session = open(address);
          for (let isOpen = true; isOpen && performance.now() < until; ) {
            const statuses = Array.from({ length: 100 }, () =>
              statusOf(request(session, path).end(framed(Buffer.alloc(0)))),
            );
            calls += statuses.length;
            isOpen = !(await Promise.all(statuses)).some((one) => one !== expected);
          }
        }
        closeAll();
      });
      // 1000, and the two batches of 100 that are on their way when it is cut off.
      expect(calls / connections).toBeLessThanOrEqual(1200);
      expect(server.err().length - logged).toBeLessThan(100_000);
    });
});

describe("a tenant", () => {
  beforeAll(async () => {
    const value = "x".repeat(0.9 * megabyte);
    for (let i = 0; i < (isLong ? 64 : 16); i++)
      await attacker.mutable.set("large", `k${i}`, value);
  });

  it("that reads nothing of its lists waits, and is given up", async () => {
    await attack(`${1000 * scale} lists that are not read`, async () => {
      const session = open("127.0.0.2", 0);
      const more = bearer(keys.attacker);
      for (let i = 0; i < 1000 * scale; i++)
        call(session, MutableStore.method.list, { namespace: "large", limit: 1000 }, more);
      await Promise.race([
        new Promise((resolve) => session.once("close", resolve)),
        pause(isLong ? 20_000 : 1000),
      ]);
      closeAll();
    });
  });

  it("that lists a hundred times at once and reads all of it is not refused", async () => {
    const lists = Array.from({ length: 100 }, () =>
      attacker.mutable.list("large", { limit: 2, total: false }),
    );
    const gets = Array.from({ length: 20 }, () => attacker.mutable.get("large", "k1"));
    for (const value of await Promise.all(gets))
      expect(value).toHaveLength(Math.floor(0.9 * megabyte));
    for (const { records } of await Promise.all(lists)) expect(records).toHaveLength(2);
  });

  it("that reads nothing of its Gets is refused", async () => {
    await attack(`10 connections with ${500 * scale} Gets that are not read`, async () => {
      const more = bearer(keys.attacker);
      const closed = Array.from({ length: 10 }, () => {
        const session = open("127.0.0.2", 0);
        for (let i = 0; i < 500 * scale; i++)
          call(session, MutableStore.method.get, { namespace: "large", key: `k${i % 16}` }, more);
        return new Promise((resolve) => session.once("close", resolve));
      });
      await Promise.race([Promise.all(closed), pause(isLong ? 20_000 : 1000)]);
      closeAll();
    });
  });

  it("that searches for many common words does not stop the searches of others", async () => {
    const words = Array.from({ length: 32 }, (_, i) => `common${i}`);
    const text = Array.from(
      { length: Math.round((isLong ? 0.9 : 0.2) * 100_000) },
      (_, i) => words[(i * 7) % 32],
    ).join(" ");
    for (let i = 0; i < (isLong ? 30 : 4); i++)
      await attacker.immutable.store({ type: "broad", id: `r${i}`, data: { text, i } });
    const search = () => victim.immutable.search("quiet", { type: "note" });
    await attack(
      "4 searches of 32 common words over 30 records of 900 KB",
      async () => {
        const searching = Array.from({ length: 4 }, () =>
          attacker.immutable
            .search(words.join(" "), { type: "broad" })
            .then(({ length }) => `${length} found`)
            .catch((error: { code: string }) => error.code),
        );
        for (const outcome of await Promise.all(searching))
          expect(outcome).toMatch(/found|SEARCH_TOO_BROAD/);
      },
      search,
    );
    expect(await search()).toHaveLength(1);
  });

  it("that merges into large values with request ids keeps no large replies", async () => {
    await attacker.mutable.set("merged", "k", { text: "x".repeat(0.93 * 1_000_000) });
    await attack(`${400 * scale} merges into a value of 0.93 MB`, async () => {
      for (let i = 0; i < 400 * scale; i++) await attacker.mutable.merge("merged", "k", { n: i });
    });
    const [replies] = await sql`
      select sum(bytes)::int as bytes, pg_total_relation_size('request')::int as size from request`;
    expect(replies?.bytes).toBeLessThan(400 * scale * 2000 + 100_000);
    expect(replies?.size).toBeLessThan(2 * megabyte);
  });
});

it("refuses a call with two headers authorization, whichever comes first", async () => {
  const set = (key: string, authorizations: string[]) => {
    const more = authorizations.map((authorization) =>
      headers(server.address, pathOf(MutableStore.method.set), { authorization }),
    );
    // The second block of headers has only its last one, authorization.
    const [first = Buffer.alloc(0), ...others] = more;
    const rest = others.map((block) => block.subarray(block.lastIndexOf("authorization") - 2));
    const { input } = MutableStore.method.set;
    const message = create(input, { namespace: "twice", key, valueJson: "1" });
    return connectFrames(
      frame(frameType.headers, flag.endHeaders, 1, Buffer.concat([first, ...rest])),
      frame(frameType.data, flag.endStream, 1, framed(toBinary(input, message))),
    );
  };
  const [mine, theirs] = [`Bearer ${keys.victim}`, `Bearer ${keys.attacker}`];
  const sockets = [
    set("one", [mine, theirs]),
    set("two", [theirs, mine]),
    set("three", [mine, mine]),
    set("alone", [mine]),
  ];
  while (!(await victim.mutable.exists("twice", "alone"))) await pause(20);
  await pause(200);
  expect(await sql`select tenant, key from mutable where namespace = 'twice'`).toEqual([
    { tenant: "victim", key: "alone" },
  ]);
  for (const socket of sockets) socket.destroy();
});

it("takes the value authorization for no header of that name", async () => {
  const client = new Cortex({
    address: server.address,
    token: keys.victim,
    agentId: "authorization",
  });
  expect((await client.mutable.set("own", "named", 1)).updatedBy).toBe("authorization");
  await client.close();
});

it("answers after all of that, and reaches what it stores", async () => {
  expect(await victim.mutable.get("own", "k")).toBe(1);
  const found = await victim.immutable.get("note", "own");
  expect(found?.data).toEqual({ text: "a quiet note" });
});
