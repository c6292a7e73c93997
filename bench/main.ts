// Runs all benchmarks (npm run bench), or one part of them (npm run bench -- --only watch). Machines are noisy, so each speed is given as a ratio to a baseline. In
// one run, the baseline and the measured work alternate.
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { create, type DescMethodUnary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import pino from "pino";
import { Cortex } from "../client/index.js";
import { MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import { startEmbedded } from "../server/embedded/cluster.js";
import { connect, type Sql } from "../server/postgres/connection.js";
import { prepareDatabase } from "../server/postgres/prepare.js";
import { barrier } from "./barrier.js";
import { claims, events } from "./coordination.js";
import { immutables } from "./immutable.js";
import { Load } from "./load.js";
import { compare, median } from "./measure.js";
import { python } from "./python.js";
import { storm } from "./storm.js";
import { streams } from "./streams.js";
import { telemetry } from "./telemetry.js";
import { watch } from "./watch.js";

const inFlight = 64;

const directory = await mkdtemp(join(tmpdir(), "cortex-bench-"));
await chmod(directory, 0o711);
const log = { info: () => {}, warn: () => {} };
const postgres = await startEmbedded(directory, log);
await prepareDatabase(postgres.url, { waitSeconds: 30, connections: 0 }, pino({ level: "silent" }));
const sql = connect(postgres.url, { max: 10, max_pipeline: 0 });
const transactions = connect(postgres.url, { max: 10 }); // the driver's begin() needs pipelining
const [server, address] = await started([
  join(import.meta.dirname, "../server/dist/server/main.js"),
  "--listen",
  "127.0.0.1:0",
  "--database-url",
  postgres.url,
  "--retention",
  '{"defaultVersions":-1}', // so that the measured records keep all versions
]);
const [floor, floorAddress] = await started([
  "--import",
  "tsx",
  join(import.meta.dirname, "floor.ts"),
]);
const cortex = new Cortex({ address, timeoutMs: 60_000 });
try {
  const parts: Record<string, () => Promise<void>> = {
    lists,
    calls,
    client: throughTheClient,
    immutable: () => immutables(address, postgres.url, sql),
    barrier: () => barrier(postgres.url),
    storm: () => storm(postgres.url),
    watch: () => watch(postgres.url),
    claims: () => claims(postgres.url),
    events: () => events(postgres.url),
    streams: () => streams(postgres.url),
    telemetry: () => telemetry(postgres.url),
    python: () => python(address),
  };
  const { only } = parseArgs({ options: { only: { type: "string" } } }).values;
  if (only !== undefined && !parts[only])
    throw new Error(`--only takes one of ${Object.keys(parts).join(", ")}`);
  for (const [name, part] of Object.entries(parts))
    if (only === undefined || only === name) await part();
} finally {
  await cortex.close();
  for (const child of [server, floor]) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  await sql.end();
  await transactions.end();
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
}

/** Starts a server in its own process. Returns the process and its address. */
async function started(args: string[]): Promise<[ChildProcess, string]> {
  // npm start sets the same flag.
  const child = spawn(process.execPath, ["--max-semi-space-size=64", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(child.stdout, "data");
  return [child, String(line).trim().split(" ").at(-1) ?? ""];
}

/**
 * Lists a prefix of 100 keys, in a namespace of a million keys and in a namespace of a thousand keys, and
 * compares the speeds.
 */
async function lists() {
  for (const [namespace, keys] of [
    ["million", 1_000_000],
    ["thousand", 1000],
  ] as const)
    await sql`
      insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
      select '', ${namespace}, lpad((n / 100)::text, 6, '0') || ':' || n % 100, json_build_object('text', repeat('x', 190)), now(), now(), n, n
      from generate_series(0, ${keys - 1}) n`;
  await sql`vacuum analyze mutable`;
  const list = (namespace: string) => async () => {
    const { records } = await cortex.mutable.list(namespace, { keyPrefix: "000005:" });
    if (records.length !== 100) throw new Error(`${records.length} records`);
  };
  await compare(
    "list of a 100-key prefix, with total",
    "among a million keys",
    list("million"),
    "among a thousand",
    list("thousand"),
    {
      count: 300,
      concurrency: 1,
    },
  );
}

/**
 * Compares calls to the server with the same work done directly from Node with postgres.js. load.ts generates
 * the calls, because a gRPC client in Node costs three times as much as the server.
 */
async function calls() {
  const value = { text: "x".repeat(195) };
  const text = JSON.stringify(value);
  await sql`create table plain (key text primary key, value json not null)`;
  await sql`create table counter (key text primary key, value bigint not null)`;
  await sql`insert into counter values ('hot', 0)`;
  await cortex.mutable.set("bench", "hot", 0);
  const load = new Load(address);
  const toFloor = new Load(floorAddress);
  const call = <M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M["input"]>,
    to = load,
  ) =>
    to.call(
      `/${MutableStore.typeName}/${method.name}`,
      toBinary(method.input, create(method.input, request) as never),
    );
  const rpc = MutableStore.method;
  let n = 0;
  const key = () => `k${n++ % 1000}`;
  const increment = { case: "increment" as const, value: {} };
  const hot = { namespace: "bench", key: "hot", operation: increment };
  const plainUpsert = (db: Sql, at: string) =>
    db`insert into plain values (${at}, ${text}::text::json) on conflict (key) do update set value = excluded.value`;
  const plainHot = () =>
    sql`update counter set value = value + 1 where key = 'hot' returning value`;
  const options = { count: 12_000, concurrency: inFlight };
  await compare(
    "set",
    "store",
    () => call(rpc.set, { namespace: "bench", key: key(), valueJson: text }),
    "plain upsert",
    () => plainUpsert(sql, key()),
    options,
  );
  await compare(
    "get",
    "store",
    () => call(rpc.get, { namespace: "bench", key: key() }),
    "plain select",
    () => sql`select value::text from plain where key = ${key()}`,
    options,
  );
  await compare(
    "increment of one hot key",
    "store",
    () => call(rpc.update, hot),
    "plain update",
    plainHot,
    options,
  );
  await compare(
    "the same messages through a gRPC handler that does nothing",
    "floor",
    () => call(rpc.update, hot, toFloor),
    "plain update",
    plainHot,
    options,
  );
  await compare(
    "increment of one hot key, each with a request id",
    "store",
    () => call(rpc.update, { ...hot, requestId: randomUUID() }),
    "plain update",
    plainHot,
    options,
  );
  const threeKeys = () => {
    const first = 3 * (n++ % 300);
    return [0, 1, 2].map((i) => `c${first + i}`);
  };
  await compare(
    "3-key Commit",
    "store",
    () =>
      call(rpc.commit, {
        operations: threeKeys().map((at) => ({
          namespace: "bench",
          key: at,
          operation: { case: "set" as const, value: { valueJson: text } },
        })),
      }),
    "begin, 3 upserts, commit",
    () =>
      transactions.begin(async (tx) => {
        for (const at of threeKeys()) await plainUpsert(tx as unknown as Sql, at);
      }),
    { ...options, count: 6000 },
  );
  load.close();
  toFloor.close();

  await compare(
    "update(fn) of one hot key by 64 callers of one client",
    "store",
    () => cortex.mutable.update<number>("bench", "hot", (value) => value + 1),
    "plain update",
    plainHot,
    options,
  );
  const clients = Array.from(
    { length: inFlight },
    () => new Cortex({ address, timeoutMs: 60_000 }),
  );
  const took: number[] = [];
  const each = 40;
  const start = performance.now();
  await Promise.all(
    clients.map(async ({ mutable }) => {
      const begun = performance.now();
      for (let i = 0; i < each; i++)
        await mutable.update<number>("bench", "hot", (value) => value + 1);
      took.push(performance.now() - begun);
    }),
  );
  const rate64 = (inFlight * each * 1000) / (performance.now() - start);
  console.log(
    `update(fn) of one hot key by ${inFlight} clients, a connection each: ${Math.round(rate64)}/s, slowest ${(Math.max(...took) / median(took)).toFixed(2)} of the median`,
  );
  await Promise.all(clients.map((client) => client.close()));
}

/** Compares set and increment through the TypeScript client with SQL. Most of the cost is in the client. */
async function throughTheClient() {
  const value = { text: "x".repeat(195) };
  const text = JSON.stringify(value);
  let n = 0;
  const key = () => `k${n++ % 1000}`;
  const options = { count: 6000, concurrency: inFlight };
  await compare(
    "set through the TypeScript client",
    "store",
    () => cortex.mutable.set("bench", key(), value),
    "plain upsert",
    () =>
      sql`insert into plain values (${key()}, ${text}::text::json) on conflict (key) do update set value = excluded.value`,
    options,
  );
  await compare(
    "increment of one hot key through the TypeScript client",
    "store",
    () => cortex.mutable.increment("bench", "hot"),
    "plain update",
    () => sql`update counter set value = value + 1 where key = 'hot' returning value`,
    options,
  );
}
