// The calls of MutableStore beside the same work straight from Node, and beside the echo of their bytes. load.ts makes
// the calls, because a gRPC client in Node costs more than the server.
import { randomUUID } from "node:crypto";
import { create, type DescMethodUnary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ImmutableStore } from "../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import { connect, type Sql } from "../server/postgres/connection.js";
import { echoPath } from "./echo.js";
import { Load } from "./load.js";
import type { Meter, Work } from "./meter.js";
import { type Server, started } from "./process.js";

export const inFlight = 64;
const rpc = MutableStore.method;
const text = JSON.stringify({ text: "x".repeat(199) }); // 210 bytes
const keys = 1000;

/** The servers that are compared. */
export interface Servers {
  /** Without a log of changes; its calls have no request ids. */
  bare: Server;
  /** With a log of changes; its calls have request ids. */
  full: Server;
}

export async function calls(meter: Meter, url: string, { bare, full }: Servers): Promise<void> {
  const echo = await started(["--import", "tsx", `${import.meta.dirname}/echo.ts`]);
  const sql = connect(url, { max: 10, max_pipeline: 0 });
  const transactions = connect(url, { max: 10 }); // the driver's begin() needs pipelining
  await sql`create table if not exists plain (key text primary key, value json not null)`;
  await sql`create table if not exists counter (key text primary key, value bigint not null)`;
  await sql`insert into counter values ('hot', 0) on conflict do nothing`;
  for (const { cortex } of [bare, full]) await cortex.mutable.set("bench", "hot", 0);
  const loads = [bare, full, echo].map(({ address }) => new Load(address));
  const [toBare, toFull, toEcho] = loads as [Load, Load, Load];
  const upsert = (db: Sql, key: string) =>
    db`insert into plain values (${key}, ${text}::text::json) on conflict (key) do update set value = excluded.value`;
  const commitKeys = (n: number) => [0, 1, 2].map((i) => `c${3 * (n % 300) + i}`);

  const compare = async <M extends DescMethodUnary>(
    what: string,
    method: M,
    request: (n: number) => MessageInitShape<M["input"]>,
    direct: Work,
    { count, hasIds = true }: { count: number; hasIds?: boolean },
  ) => {
    const path = `/${method.parent.typeName}/${method.name}`;
    const bytes = (init: MessageInitShape<M["input"]>) =>
      toBinary(method.input, create(method.input, init) as never);
    const withId = (n: number) =>
      hasIds ? { ...(request(n) as object), requestId: randomUUID() } : request(n);
    const subjects = [
      {
        name: "Cortex Store",
        work: (n: number) => toBare.call(path, bytes(request(n))),
        server: bare.pid,
      },
      {
        name: hasIds ? "with request ids and the log" : "with the log",
        work: (n: number) => toFull.call(path, bytes(withId(n) as never)),
        server: full.pid,
      },
      { name: "straight from Node", work: direct },
      {
        name: "echo of the bytes",
        work: (n: number) => toEcho.call(echoPath, bytes(request(n))),
        server: echo.pid,
      },
    ];
    await meter.compare(what, subjects, { count, concurrency: inFlight });
  };
  await compare(
    "Set",
    rpc.set,
    (n) => ({ namespace: "bench", key: `k${n % keys}`, valueJson: text }),
    (n) => upsert(sql, `k${n % keys}`),
    { count: 12_000 },
  );
  await compare(
    "Get",
    rpc.get,
    (n) => ({ namespace: "bench", key: `k${n % keys}` }),
    (n) => sql`select value::text from plain where key = ${`k${n % keys}`}`,
    { count: 20_000, hasIds: false },
  );
  await compare(
    "hot increment",
    rpc.update,
    () => ({
      namespace: "bench",
      key: "hot",
      operation: { case: "increment" as const, value: {} },
    }),
    () => sql`update counter set value = value + 1 where key = 'hot' returning value`,
    { count: 12_000 },
  );
  await compare(
    "Commit of 3 keys",
    rpc.commit,
    (n) => ({
      operations: commitKeys(n).map((key) => ({
        namespace: "bench",
        key,
        operation: { case: "set" as const, value: { valueJson: text } },
      })),
    }),
    (n) =>
      transactions.begin(async (tx) => {
        for (const key of commitKeys(n)) await upsert(tx as unknown as Sql, key);
      }),
    { count: 6000 },
  );
  const dataJson = text;
  await sql`create table plain_version (type text, id text, version int, data json, primary key (type, id, version))`;
  await sql`create sequence plain_version_number`;
  await compare(
    "Store of a new version",
    ImmutableStore.method.store,
    (n) => ({ type: "doc", id: `${n % 256}`, dataJson, includeHistory: false }),
    (n) =>
      sql`insert into plain_version select 'doc', ${`${n % 256}`}, nextval('plain_version_number'), ${dataJson}::text::json`,
    { count: 6000 },
  );
  await compare(
    "Get of a record",
    ImmutableStore.method.get,
    (n) => ({ type: "doc", id: `${n % 256}`, includeHistory: false }),
    (n) =>
      sql`select data::text from plain_version where type = 'doc' and id = ${`${n % 256}`} order by version desc limit 1`,
    { count: 12_000, hasIds: false },
  );
  for (const load of loads) load.close();
  await sql.end();
  await transactions.end();
  await echo.stop();
}
