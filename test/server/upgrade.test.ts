// Tests an upgrade while a server of the previous release still runs. support/release-before.tar.gz is that
// release, made by `npm pack`.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Users } from "../../gen/cortex/users/v1/users_pb.js";
import { defaults } from "../../server/config/config.js";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { type Running, start } from "../../server/start.js";
import { auditDigest, auditType } from "../../server/storage/audit/audit.js";
import { dump } from "../support/dump.js";
import { databaseUrl } from "../support/postgres.js";
import { root, run, type ServerProcess, spawnServer } from "../support/process.js";
import { Raw } from "../support/raw.js";
import { testLog } from "../support/server.js";
import { answer, methods, requestsOf, seed } from "../support/tenant-isolation.js";

const name = `upgrade_${process.pid}`;
let directory: string;
let admin: Sql;
let sql: Sql;
let url: string;
let before: ServerProcess;
let after: Running;

beforeAll(async () => {
  // The release is unpacked inside the repository, so that it finds its npm packages.
  await mkdir(join(root, ".scratch"), { recursive: true });
  directory = await mkdtemp(join(root, ".scratch", "release-before-"));
  const archive = join(import.meta.dirname, "../support/release-before.tar.gz");
  expect((await run("tar", ["xzf", archive, "-C", directory])).code).toBe(0);
  admin = connect(inject("postgresUrl"), { max: 1 });
  await admin.unsafe(`create database ${name} template template0`);
  url = databaseUrl(inject("postgresUrl"), name);
  sql = connect(url, { max: 1 });
  const main = join(directory, "package/dist/server/main.js");
  before = await spawnServer(["--database-url", url, "--allow-purge-all"], {}, {}, main);
});
afterAll(async () => {
  await after?.stop();
  await before?.end();
  await sql?.end();
  await admin?.unsafe(`drop database if exists ${name} with (force)`);
  await admin?.end();
  await rm(directory, { recursive: true, force: true });
});

const client = (address: string, agentId?: string) =>
  new Cortex({ address, tenantId: "acme", timeoutMs: 20_000, agentId });

it("moves the audit trail, and lets an older server write nothing more", async () => {
  const old = client(before.address, "user-2");
  await old.users.create("user-2");
  for (const userId of ["user-2", null])
    await old.mutable.set("notes", `of ${userId}`, { text: "a note" }, { userId });
  await old.immutable.store({ type: "t", id: "about user-2", data: {}, userId: "user-2" });
  await old.mutable.purgeMany("notes", { userId: "user-2" });
  await old.mutable.purgeNamespace("notes");
  await old.immutable.purge("t", "about user-2");
  await old.immutable.store({ type: "audit-log", id: "of the user", data: { own: true } });
  await seed(old, { coordination: false });
  await old.close();

  after = await start({ ...defaults, listen: "127.0.0.1:0" }, url, testLog);

  const upgraded = client(after.address);
  while ((await sql`select from migration`).length < 27) await pause(20); // in the background
  const { records } = await upgraded.immutable.list({ type: auditType, sortOrder: "asc" });
  const user = auditDigest("acme", "user-2");
  expect(records.map(({ data, agentId, userId }) => ({ data, agentId, userId }))).toEqual([
    {
      data: {
        action: "MutableStore.PurgeMany",
        asked: { namespace: "notes", user },
        deleted: { entries: 1 },
        user,
      },
    },
    {
      data: {
        action: "MutableStore.PurgeNamespace",
        asked: { namespace: "notes" },
        deleted: { entries: 1 },
      },
      agentId: "user-2",
    },
    {
      data: {
        action: "ImmutableStore.Purge",
        asked: { type: "t", id: auditDigest("acme", "about user-2") },
        deleted: { records: 1, versions: 1 },
        user,
      },
    },
  ]);
  for (const { type, id } of records)
    expect(await upgraded.immutable.verifyHistory(type, id)).toMatchObject({
      valid: true,
      versions: 1,
    });
  expect((await upgraded.immutable.get("audit-log", "of the user"))?.data).toEqual({ own: true });
  expect((await upgraded.immutable.list({ type: "audit-log" })).total).toBe(1);
  expect((await upgraded.mutable.getRecord("ns", "counter"))?.value).toBe(41);

  const rows = await dump(sql);
  const raw = new Raw(before.address);
  for (const method of methods) {
    // One uses no database, others are new.
    const isNew =
      method.name === "Watch" ||
      ["Claims", "Events", "Streams", "Scopes"].includes(method.parent.name);
    if (method.name === "GetRetention" || isNew) continue;
    for (const request of requestsOf(method)) {
      const reply = await answer(raw, method, request, "acme");
      // Some requests are refused before they reach a write.
      const refused = expect.stringMatching(/DATABASE_UNAVAILABLE|"INVALID_|USER_EXISTS/);
      expect([method.name, JSON.stringify(reply)]).toEqual([method.name, refused]);
    }
  }
  const headers = { "x-tenant-id": "acme" };
  const entry = { namespace: "notes", key: "k" };
  const set = { case: "set" as const, value: { valueJson: "1" } };
  const type = { type: "t", id: "i" };
  const store = { case: "store" as const, value: { ...type, dataJson: "{}" } };
  for (const reply of [
    await raw.call(MutableStore.method.set, { ...entry, valueJson: "1" }, headers),
    await raw.call(MutableStore.method.purgeNamespace, { namespace: "ns" }, headers),
    await raw.call(
      MutableStore.method.commit,
      { operations: [{ ...entry, operation: set }, { operation: store }] },
      headers,
    ),
    await raw.call(ImmutableStore.method.store, { ...type, dataJson: "{}" }, headers),
    await raw.call(Users.method.delete, { id: "user-1", cascade: true }, headers),
  ])
    expect(reply).toMatchObject({
      reason: "DATABASE_UNAVAILABLE",
      message: "the database does not answer",
      details: { applied: "no" },
    });
  raw.close();
  expect(await dump(sql)).toBe(rows);
  await upgraded.close();
});

it("rewrites data in the background: the server serves meanwhile, and one that is killed is followed by the next", async () => {
  // A database of the release before, with more audit records than one batch takes.
  const database = `background_${process.pid}`;
  await admin.unsafe(`create database ${database} template template0`);
  const many = databaseUrl(inject("postgresUrl"), database);
  const main = join(directory, "package/dist/server/main.js");
  const old = await spawnServer(["--database-url", many], {}, {}, main);
  const cortex = client(old.address);
  await cortex.mutable.set("notes", "k", 1);
  await cortex.mutable.purgeNamespace("notes");
  await storeFormerRecords(old.address);
  await cortex.close();
  await old.end();
  const rows = connect(many, { max: 4, fetch_types: true });
  await rows.begin(async (tx) => {
    await tx`create temporary table ids as select 'cortex/' || gen_random_uuid() as id from generate_series(1, 2500)`;
    for (const table of ["immutable", "immutable_version"]) {
      const columns = await tx`
        select column_name as name from information_schema.columns where table_schema = 'public' and table_name = ${table} and is_generated = 'NEVER'`;
      const names = tx(columns.map(({ name }) => name));
      await tx`
        insert into ${tx(table)} (${names})
        select ${names} from (
          select (jsonb_populate_record(original, jsonb_build_object('id', ids.id))).*
          from ${tx(table)} original, ids where original.type = 'audit-log')`;
    }
  });
  const count = async () => {
    const [row] = await rows`
      select count(*) filter (where type = 'audit-log')::int as waiting, count(*) filter (where type = ${auditType})::int as moved
      from immutable`;
    return row;
  };
  // The background migrations take turns by this lock.
  const holder = await rows.reserve();
  await holder`select pg_advisory_lock(${0x636f7262})`;
  const killed = await spawnServer(["--database-url", many, "--log-level", "info"]);
  expect(killed.err()).toContain(
    "28 migrations, 16 of them applied now, 7 going on in the background",
  );
  // Somebody holds one of the records, so the migration does not end.
  await holder`begin`;
  await holder`select from immutable where type = 'audit-log' limit 1 for update`;
  await holder`select pg_advisory_unlock(${0x636f7262})`;
  while ((await count())?.moved < 2500) await pause(20);
  await client(killed.address).mutable.set("notes", "k", 2);
  // A record of the release before is found as it was found then, until it is rewritten.
  expect(await foundFormerRecords(killed.address)).toEqual([
    ["hauptstraße", ["street"]],
    ["HAUPTSTRASSE", []],
    ["refunding", []],
    ["653247040368672769", ["number"]],
    ["653247040368672800", ["number"]],
    ["by metadata", 2],
  ]);
  expect(await count()).toEqual({ waiting: 1, moved: 2500 });
  await killed.end("SIGKILL");

  const next = await spawnServer(["--database-url", many, "--log-level", "info"]);
  await client(next.address).mutable.set("notes", "k", 3);
  expect(await count()).toEqual({ waiting: 1, moved: 2500 });
  // The index cannot be built while somebody else writes the table. The server stops all the same.
  const writer = await rows.reserve();
  await writer`begin`;
  await writer`lock table immutable in row exclusive mode`;
  await holder`rollback`;
  holder.release();
  const building = async () =>
    (
      await rows`select from pg_stat_activity where query like '%create index concurrently%' and state = 'active' and datname = current_database() and pid <> pg_backend_pid()`
    ).length;
  while ((await building()) === 0) await pause(20);
  expect(await next.end()).toBe(0);
  await writer`rollback`;
  writer.release();
  const last = await spawnServer(["--database-url", many]);
  while ((await rows`select from migration`).length < 27) await pause(20);
  expect(await count()).toEqual({ waiting: 0, moved: 2501 });
  const [index] =
    await rows`select indisvalid from pg_index where indexrelid = 'immutable_audit_by_age'::regclass`;
  expect(index).toEqual({ indisvalid: true });
  expect(await foundFormerRecords(last.address)).toEqual([
    ["hauptstraße", ["street"]],
    ["HAUPTSTRASSE", ["street"]],
    ["refunding", ["street"]],
    ["653247040368672769", ["number"]],
    ["653247040368672800", []],
    ["by metadata", 2],
  ]);
  const reader = client(last.address);
  const { records } = await reader.immutable.list({ type: auditType, limit: 1 });
  expect(await reader.immutable.verifyHistory(auditType, records[0]?.id ?? "")).toMatchObject({
    valid: true,
  });
  expect(next.err()).toContain("applied the migration 0007_audit_records");
  expect(await last.end()).toBe(0);
  await rows.end();
  await admin.unsafe(`drop database ${database} with (force)`);
});

/** Stores records that the release before finds otherwise. */
async function storeFormerRecords(address: string): Promise<void> {
  const raw = new Raw(address);
  for (const [id, dataJson] of [
    ["street", '{"text":"the Hauptstraße, “refunds”"}'],
    ["number", '{"id":653247040368672769}'],
  ] as const)
    await raw.call(
      ImmutableStore.method.store,
      { type: "former", id, dataJson, metadataJson: '{"id":653247040368672769}' },
      { "x-tenant-id": "acme" },
    );
  raw.close();
}

async function foundFormerRecords(address: string): Promise<[string, unknown][]> {
  const cortex = client(address);
  const found: [string, unknown][] = [];
  for (const query of [
    "hauptstraße",
    "HAUPTSTRASSE",
    "refunding",
    "653247040368672769",
    "653247040368672800",
  ]) {
    const results = await cortex.immutable.search(query, { type: "former" });
    found.push([query, results.map(({ record }) => record.id)]);
  }
  const metadata = { id: 653247040368672769n };
  found.push(["by metadata", await cortex.immutable.count({ type: "former", metadata })]);
  await cortex.close();
  return found;
}
