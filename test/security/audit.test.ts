// Who did what: lines in the log of the server, and records of the tenant for what was purged or erased. Neither holds values or credentials.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cortex } from "../../client/index.js";
import { userDigest } from "../../server/storage/audit/audit.js";
import { keyFile, newKey } from "../support/credentials.js";
import { temporaryDirectory } from "../support/directory.js";
import { dump } from "../support/dump.js";
import { spawnServer } from "../support/process.js";
import { cloneDatabase, serve } from "../support/server.js";

const s = serve({ allowPurgeAll: true });

describe("each purge leaves a record of the type audit-log, in its transaction,", () => {
  const tenantId = "audited";
  const entries = async () => {
    const { records } = await s
      .client({ tenantId })
      .immutable.list({ type: "audit-log", sortOrder: "asc" });
    return records.map(({ data }) => data);
  };

  it("which says what was asked for and how much went, by whom; users only by their digest", async () => {
    const { mutable, immutable, users } = s.client({ tenantId, agentId: "cleaner" });
    await users.create("u");
    for (const namespace of ["a", "b", "c"])
      await mutable.setMany(namespace, { k1: "secret", k2: "secret" });
    await mutable.set("a", "of-user", "secret", "u");
    for (const n of [1, 2, 3])
      await immutable.store({ type: "t", id: "i", data: { n, text: "secret" } });
    await immutable.store({ type: "t", id: "j", data: { text: "secret" }, userId: "u" });
    await mutable.purgeMany("a", { userId: "u" });
    await mutable.purgeMany("a", { keyPrefix: "k" }, { requestId: "purge-1" });
    await mutable.purgeMany("a", { keyPrefix: "k" }, { requestId: "purge-1" }); // the same
    await mutable.purgeNamespace("b", { dryRun: true });
    await mutable.purgeNamespace("b");
    await mutable.purgeNamespace("b"); // nothing is left
    await mutable.purgeAll();
    await immutable.purgeVersions("t", "i", { keepLatest: 1 });
    await immutable.purge("t", "i");
    await immutable.purgeMany({ type: "t", userId: "u" });
    const digest = userDigest(tenantId, "u");
    expect(await entries()).toEqual([
      {
        action: "MutableStore.PurgeMany",
        asked: { namespace: "a", user: digest },
        deleted: { entries: 1 },
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
        action: "ImmutableStore.PurgeMany",
        asked: { types: ["t"], user: digest },
        deleted: { records: 1, versions: 1 },
      },
    ]);
    const { records } = await immutable.list({ type: "audit-log" });
    for (const { agentId, version, id } of records)
      expect([agentId, version, id]).toEqual([
        "cleaner",
        1,
        expect.stringMatching(/^cortex\/[0-9a-f-]{36}$/),
      ]);
    // What was about one user's data goes with the user.
    await users.delete("u", { cascade: true });
    expect((await entries()).map(({ action }) => action)).toEqual([
      "MutableStore.PurgeMany",
      "MutableStore.PurgeNamespace",
      "MutableStore.PurgeAll",
      "ImmutableStore.PurgeVersions",
      "ImmutableStore.Purge",
      "Users.Delete",
    ]);
    expect(
      (await dump(s.sql)).split("\n").filter((line) => /^immutable.*audit-log.*secret/.test(line)),
    ).toEqual([]);
  });

  it("and nobody else writes such records", async () => {
    const { immutable, mutable } = s.client({ tenantId });
    const forged = {
      type: "audit-log",
      id: "cortex/00000000-0000-0000-0000-000000000000",
      data: {},
    };
    await expect(immutable.store(forged)).toFailWith("INVALID_ID", { field: "id" });
    await expect(mutable.transaction((tx) => tx.store(forged))).toFailWith("TRANSACTION_FAILED", {
      reason: "INVALID_ID",
    });
    expect((await immutable.store({ ...forged, id: "own/1" })).version).toBe(1); // a log of its own is everybody's right
  });

  it("or neither: a purge whose record cannot be written did nothing", async () => {
    const { mutable } = s.client({ tenantId: "atomic" });
    await mutable.setMany("ns", { a: 1, b: 2 });
    await s.sql`alter table immutable add constraint no_audit check (type <> 'audit-log' or tenant <> 'atomic')`;
    await expect(mutable.purgeNamespace("ns")).toFailWith("DATABASE_ERROR");
    expect(await mutable.count("ns")).toBe(2);
    await s.sql`alter table immutable drop constraint no_audit`;
    expect((await mutable.purgeNamespace("ns")).deleted).toBe(2);
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

  it("names purges and refused credentials unless it is told otherwise; writes too, all, or none", async () => {
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
