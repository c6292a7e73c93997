// Tests the audit log: lines in the server's log, and records of the tenant for purges and erasures. Neither
// has values or credentials.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { auditDigest, auditType } from "../../server/storage/audit/audit.js";
import { keyFile, newKey } from "../support/credentials.js";
import { temporaryDirectory } from "../support/directory.js";
import { dump } from "../support/dump.js";
import { spawnServer } from "../support/process.js";
import { cloneDatabase, serve } from "../support/server.js";

const s = serve({ allowPurgeAll: true });

describe("each purge leaves a record of the type $cortex/audit, in its transaction,", () => {
  const tenantId = "audited";
  const entries = async () => {
    const { records } = await s
      .client({ tenantId })
      .immutable.list({ type: auditType, sortOrder: "asc" });
    return records.map(({ data }) => data);
  };

  it("which says what was asked for, how much was deleted and by whom, and names users only by their digest", async () => {
    const { mutable, immutable, users } = s.client({ tenantId, agentId: "cleaner" });
    await users.create("u");
    for (const namespace of ["a", "b", "c"])
      await mutable.setMany(namespace, { k1: "secret", k2: "secret" });
    await mutable.set("a", "of-user", "secret", "u");
    for (const n of [1, 2, 3])
      await immutable.store({ type: "t", id: "i", data: { n, text: "secret" } });
    await immutable.store({ type: "t", id: "profile-of-u", data: { text: "secret" }, userId: "u" });
    await immutable.store({ type: "t", id: "j", data: { text: "secret" }, userId: "u" });
    await mutable.purgeMany("a", { userId: "u" });
    await mutable.purgeMany("a", { keyPrefix: "k" }, { requestId: "purge-1" });
    await mutable.purgeMany("a", { keyPrefix: "k" }, { requestId: "purge-1" }); // a repeat
    await mutable.purgeNamespace("b", { dryRun: true });
    await mutable.purgeNamespace("b");
    await mutable.purgeNamespace("b"); // the namespace is already empty
    await mutable.purgeAll();
    await immutable.purgeVersions("t", "i", { keepLatest: 1 });
    await immutable.purge("t", "i");
    await immutable.purge("t", "profile-of-u");
    await immutable.purgeMany({ type: "t", userId: "u" });
    const user = auditDigest(tenantId, "u");
    const all = [
      {
        action: "MutableStore.PurgeMany",
        asked: { namespace: "a", user },
        deleted: { entries: 1 },
        user,
      },
      {
        action: "MutableStore.PurgeMany",
        asked: { namespace: "a", keyPrefix: "k" },
        deleted: { entries: 2 },
      },
      { action: "MutableStore.PurgeNamespace", asked: { namespace: "b" }, deleted: { entries: 2 } },
      { action: "MutableStore.PurgeAll", asked: {}, deleted: { entries: 2 } },
      {
        action: "ImmutableStore.PurgeVersions",
        asked: { type: "t", id: "i" },
        deleted: { versions: 2 },
      },
      {
        action: "ImmutableStore.Purge",
        asked: { type: "t", id: "i" },
        deleted: { records: 1, versions: 1 },
      },
      {
        action: "ImmutableStore.Purge",
        asked: { type: "t", id: auditDigest(tenantId, "profile-of-u") },
        deleted: { records: 1, versions: 1 },
        user,
      },
      {
        action: "ImmutableStore.PurgeMany",
        asked: { types: ["t"], user },
        deleted: { records: 1, versions: 1 },
        user,
      },
    ];
    expect(await entries()).toEqual(all);
    const { records } = await immutable.list({ type: auditType });
    for (const { agentId, version, id } of records)
      expect([agentId, version, id]).toEqual([
        "cleaner",
        1,
        expect.stringMatching(/^[0-9a-f-]{36}$/),
      ]);
    // The audit trail stays when the user is erased, but nothing in the database names the user any more.
    await users.delete("u", { cascade: true });
    expect((await entries()).slice(0, -1)).toEqual(all);
    expect((await entries()).at(-1)).toMatchObject({ action: "Users.Delete", user });
    const rows = (await dump(s.sql)).split("\n").filter((line) => line.startsWith("immutable"));
    expect(rows.filter((row) => /secret|profile-of-u/.test(row))).toEqual([]);
  });

  it("which leaves out an agent that is the user itself", async () => {
    const self = s.client({ tenantId: "self", agentId: "user-7" });
    await self.users.create("user-7");
    await self.mutable.set("notes", "n", 1, "user-7");
    await self.mutable.purgeMany("notes", { userId: "user-7" });
    const { records } = await self.immutable.list({ type: auditType });
    expect(records.map(({ agentId }) => agentId)).toEqual([undefined]);
  });

  it("and deletes nothing if that record cannot be written", async () => {
    const { mutable } = s.client({ tenantId: "atomic" });
    await mutable.setMany("ns", { a: 1, b: 2 });
    await s.sql`alter table immutable add constraint no_audit check (type <> '$cortex/audit' or tenant <> 'atomic')`;
    await expect(mutable.purgeNamespace("ns")).toFailWith("DATABASE_ERROR");
    expect(await mutable.count("ns")).toBe(2);
    await s.sql`alter table immutable drop constraint no_audit`;
    expect((await mutable.purgeNamespace("ns")).deleted).toBe(2);
  });
});

describe("the types that begin with $cortex/", () => {
  const tenantId = "reserved";
  const store = { type: "$cortex/audit", id: "forged", data: {} };

  it("cannot be stored by anybody; other types with $ can", async () => {
    const { immutable, mutable } = s.client({ tenantId });
    await expect(immutable.store(store)).toFailWith("INVALID_TYPE", { field: "type" });
    await expect(immutable.store({ ...store, type: "$cortex/mine" })).toFailWith("INVALID_TYPE");
    await expect(mutable.transaction((tx) => tx.store(store))).toFailWith("TRANSACTION_FAILED", {
      reason: "INVALID_TYPE",
    });
    for (const type of ["$cortex", "$cortex-audit", "$mine/audit", "audit-log", "x$cortex/"])
      expect((await immutable.store({ ...store, type })).version).toBe(1);
  });

  it("are left out of list, scan, count, search and purgeMany, unless they are named", async () => {
    const { immutable, mutable } = s.client({ tenantId: "apart" });
    await immutable.store({ type: "t", id: "i", data: { text: "PurgeNamespace" } });
    await mutable.set("ns", "k", 1);
    await mutable.purgeNamespace("ns");
    expect((await immutable.list()).records.map(({ type }) => type)).toEqual(["t"]);
    expect((await immutable.list()).total).toBe(1);
    const scanned = [];
    for await (const { type } of immutable.scan()) scanned.push(type);
    expect(scanned).toEqual(["t"]);
    expect(await immutable.count()).toBe(1);
    const found = async (filters = {}) =>
      (await immutable.search("PurgeNamespace", filters)).map(({ record }) => record.type);
    expect(await found()).toEqual(["t"]);
    expect(await found({ type: auditType })).toEqual([auditType]);
    expect(await immutable.count({ type: auditType })).toBe(1);
    const everything = { createdBefore: new Date("2100-01-01") };
    expect((await immutable.purgeMany(everything, { dryRun: true })).records).toEqual([
      { type: "t", id: "i" },
    ]);
    const { records } = await immutable.list({ type: auditType });
    const [type, id] = [auditType, records[0]?.id ?? ""];
    expect(await immutable.get(type, id)).not.toBeNull();
    expect((await immutable.verifyHistory(type, id)).valid).toBe(true);
    // A caller with all permissions may purge the audit trail. The purge itself leaves a record.
    expect((await immutable.purge(type, id)).deleted).toBe(true);
    expect(await immutable.count({ type: auditType })).toBe(1);
  });

  it("count in no quota", async () => {
    const limited = await s.another({ quotaVersions: 1, quotaBytes: 100 });
    const { immutable, mutable } = s.client({ tenantId: "full", address: limited.address });
    for (let i = 0; i < 3; i++) {
      await mutable.set("ns", "k", i);
      await mutable.purgeNamespace("ns");
    }
    expect(await immutable.count({ type: auditType })).toBe(3);
    expect((await immutable.store({ type: "t", id: "i", data: {} })).version).toBe(1);
    await expect(immutable.store({ type: "t", id: "j", data: {} })).toFailWith("QUOTA_EXCEEDED");
  });

  it("are kept for --audit-days, and then swept", async () => {
    const { immutable, mutable } = s.client({ tenantId: "aged" });
    for (const namespace of ["old", "new"]) {
      await mutable.set(namespace, "k", 1);
      await mutable.purgeNamespace(namespace);
    }
    await s.sql`
      update immutable set created_at = now() - interval '31 days' where tenant = 'aged' and data_text like '%old%'`;
    await s.another({ auditDays: 0, sweepSeconds: 0.1 });
    await s.another({ auditDays: 32, sweepSeconds: 0.1 });
    await pause(500);
    expect(await immutable.count({ type: auditType })).toBe(2);
    await s.another({ auditDays: 30, sweepSeconds: 0.1 });
    await expect.poll(() => immutable.count({ type: auditType }), { timeout: 10_000 }).toBe(1);
    const { records } = await immutable.list({ type: auditType });
    expect(records[0]?.data.asked).toEqual({ namespace: "new" });
  });
});

describe("the log of the server", () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let database: Awaited<ReturnType<typeof cloneDatabase>>;
  const [key, wrong] = [newKey(), newKey()];
  beforeAll(async () => {
    directory = await temporaryDirectory();
    database = await cloneDatabase();
    const grants = { tenants: ["acme"], permissions: ["read", "write", "purge"] };
    await writeFile(
      join(directory.path, "keys.json"),
      keyFile([{ principal: "support", key, ...grants }]),
    );
  });
  afterAll(async () => {
    await database.drop();
    await directory.remove();
  });

  async function lines(
    auditLog: string[],
    work: (cortex: Cortex, stranger: Cortex) => Promise<void>,
  ) {
    const keys = ["--auth", "keys", "--auth-keys-file", join(directory.path, "keys.json")];
    const server = await spawnServer(["--database-url", database.url, ...keys, ...auditLog]);
    const { address } = server;
    await using cortex = new Cortex({ address, token: key, tenantId: "acme", agentId: "agent-7" });
    await using stranger = new Cortex({ address, token: wrong, tenantId: "acme" });
    await work(cortex, stranger);
    await pause(50);
    await server.end();
    for (const secret of [key, wrong, "secret-value", "postgres://"])
      expect(server.err()).not.toContain(secret);
    return server
      .err()
      .split("\n")
      .filter((line) => line.includes('"audit"'))
      .map((line) => JSON.parse(line));
  }

  const work = async ({ mutable }: Cortex, stranger: Cortex) => {
    await mutable.set("ns", "k", "secret-value", { requestId: "request-1" });
    await mutable.get("ns", "k");
    await stranger.mutable.get("ns", "k").catch(() => {});
    await mutable.purgeNamespace("ns", { requestId: "request-2" });
  };
  const set = {
    msg: "audit",
    rpc: "cortex.mutable.v1.MutableStore/Set",
    tenant: "acme",
    principal: "support",
    agent: "agent-7",
    request_id: "request-1",
    outcome: "OK",
    ms: expect.any(Number),
  };
  const refused = { rpc: "cortex.mutable.v1.MutableStore/Get", outcome: "UNAUTHENTICATED" };
  const purge = {
    ...set,
    rpc: "cortex.mutable.v1.MutableStore/PurgeNamespace",
    request_id: "request-2",
  };

  it("names purges and refused credentials by default; with --audit-log also writes, or all calls, or none", async () => {
    expect(await lines([], work)).toMatchObject([refused, purge]);
    expect(await lines(["--audit-log", "writes"], work)).toMatchObject([set, refused, purge]);
    const get = { ...set, rpc: "cortex.mutable.v1.MutableStore/Get", request_id: undefined };
    expect(await lines(["--audit-log", "all"], work)).toMatchObject([
      set,
      { rpc: get.rpc, outcome: "OK" },
      refused,
      purge,
    ]);
    expect(await lines(["--audit-log", "none"], work)).toEqual([]);
  });
});
