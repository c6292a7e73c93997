import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import {
  MutableStore,
  type PurgeNamespaceRequest,
  type PurgeNamespaceResponse,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { spawnServer } from "../support/process.js";
import { proxyToServer } from "../support/proxy.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ allowPurgeAll: true });

it("counts with dryRun, then deletes the namespace and nothing else", async () => {
  await s.cortex.mutable.setMany("test-data", { b: 1, a: 2 });
  await s.cortex.mutable.set("test-data-2", "a", 1);
  const expected = { deleted: 2, keysDeleted: 2, namespace: "test-data", keys: ["a", "b"] };
  expect(await s.cortex.mutable.purgeNamespace("test-data", { dryRun: true })).toEqual({
    ...expected,
    dryRun: true,
  });
  expect(await s.cortex.mutable.count("test-data")).toBe(2);
  expect(await s.cortex.mutable.purgeNamespace("test-data")).toEqual({
    ...expected,
    dryRun: false,
  });
  expect(await s.cortex.mutable.count("test-data")).toBe(0);
  expect(await s.cortex.mutable.count("test-data-2")).toBe(1);
  expect(await s.cortex.mutable.purgeNamespace("test-data")).toMatchObject({
    deleted: 0,
    keys: [],
  });
});

it("names the first 1000 keys of more", async () => {
  const entries = Array.from({ length: 1000 }, (_, i) => ({
    key: `k${String(i).padStart(4, "0")}`,
    value: 1,
  }));
  await s.cortex.mutable.setMany("many", entries);
  await s.cortex.mutable.set("many", "z", 1);
  const { deleted, keys } = await s.cortex.mutable.purgeNamespace("many");
  expect(deleted).toBe(1001);
  expect(keys).toEqual(entries.map(({ key }) => key));
});

it("deletes the statistics with the entries", async () => {
  await s.cortex.mutable.set("read", "k", 1);
  await s.cortex.mutable.get("read", "k");
  await s.cortex.mutable.list("read");
  await s.cortex.mutable.purgeNamespace("read");
  expect(await s.sql`select from mutable_access where namespace = 'read'`).toHaveLength(0);
});

it("refuses an unknown option", async () => {
  await expect(s.cortex.mutable.purgeNamespace("read", { dryrun: true } as object)).toFailWith(
    "INVALID_OPTIONS",
  );
});

it("misses no key that a transaction deleted and created again while the purge waited for it", async () => {
  await s.cortex.mutable.setMany("again", { a: 1, b: 2, c: 3 });
  const t = new RawTransaction(s.address);
  await t.ask({ case: "begin", value: {} });
  const entry = { namespace: "again", key: "b" };
  for (const operation of [
    { case: "delete" as const, value: {} },
    { case: "set" as const, value: { valueJson: "4" } },
  ])
    await t.ask({ case: "write", value: { operations: [{ ...entry, operation } as never] } });
  const purged = s.cortex.mutable.purgeNamespace("again");
  await expect
    .poll(
      async () =>
        (
          await s.sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        ).length,
      { interval: 5 },
    )
    .toBeGreaterThan(0);
  await t.ask({ case: "commit", value: {} });
  t.close();
  expect(await purged).toMatchObject({ deleted: 3, keys: ["a", "b", "c"] });
  expect(await s.cortex.mutable.count("again")).toBe(0);
});

describe("in steps", () => {
  const { purgeNamespace, purgeAll, purgeMany } = MutableStore.method;
  const auditType = "$cortex/audit";
  let raw: Raw;
  beforeAll(() => {
    raw = new Raw(s.address);
  });
  afterAll(() => raw.close());

  const keysOf = (count: number) =>
    Array.from({ length: count }, (_, i) => `k${String(i).padStart(4, "0")}`);
  const seed = async (namespace: string, count: number, mutable = s.cortex.mutable) => {
    for (let i = 0; i < count; i += 1000)
      await mutable.setMany(
        namespace,
        keysOf(count)
          .slice(i, i + 1000)
          .map((key) => ({ key, value: 1 })),
      );
  };
  const step = (
    namespace: string,
    entriesMax: number,
    more: Partial<Omit<PurgeNamespaceRequest, "$typeName">> = {},
    headers = {},
  ) => raw.call(purgeNamespace, { namespace, entriesMax, ...more }, headers);
  const first = async (namespace: string, entriesMax: number, more = {}) =>
    (await step(namespace, entriesMax, more)) as PurgeNamespaceResponse & { continueToken: string };

  it("deletes up to entries_max entries, each step with its record in the audit trail", async () => {
    const { mutable, immutable } = s.client({ tenantId: "walk" });
    await seed("walk", 2500, mutable);
    const tenant = { "x-tenant-id": "walk" };
    const replies: unknown[] = [];
    for (let continueToken: string | undefined, steps = 1; steps === 1 || continueToken; steps++) {
      const token = continueToken === undefined ? {} : { continueToken };
      const next = () =>
        step("walk", steps * 600, { ...token, requestId: `walk-${steps}` }, tenant);
      const reply = (await next()) as PurgeNamespaceResponse;
      expect(await next()).toEqual(reply); // a repeat deletes nothing
      replies.push([Number(reply.deleted), Number(reply.deletedTotal), reply.keys.length]);
      expect(await mutable.count("walk")).toBe(2500 - Number(reply.deletedTotal));
      continueToken = reply.continueToken;
    }
    expect(replies).toEqual([
      [600, 600, 600],
      [1200, 1800, 400], // the first 1000 keys of the purge
      [700, 2500, 0],
    ]);
    const { records } = await immutable.list({ type: auditType, sortOrder: "asc" });
    const asked = (entriesMax: number) => ({ namespace: "walk", entriesMax });
    expect(records.map(({ data }) => [data.asked, data.deleted])).toEqual([
      [asked(600), { entries: 600 }],
      [asked(1200), { entries: 1200 }],
      [asked(1800), { entries: 700 }],
    ]);
  });

  it("takes 1 to 10000 entries a step; a last step that is full knows that it is the last", async () => {
    await seed("limits", 2);
    for (const entriesMax of [0, -1, 10_001])
      expect(await step("limits", entriesMax)).toMatchObject({
        reason: "INVALID_LIMIT",
        details: { field: "entries_max", limit: "1 to 10000", got: `${entriesMax}` },
      });
    for (const entriesMax of [2, 10_000]) {
      const { deleted, continueToken } = await first("limits", entriesMax, { dryRun: true });
      expect([deleted, continueToken]).toEqual([2n, undefined]);
    }
    expect(await step("limits", 1, { dryRun: true })).toHaveProperty("continueToken");
    for (const [options, code] of [
      [{ stepped: true, entriesPerStep: 10_001 }, "INVALID_LIMIT"],
      [{ stepped: true, entriesPerStep: 1.5 }, "INVALID_LIMIT"],
      [{ entriesPerStep: 10 }, "INVALID_OPTIONS"],
      [{ onProgress: () => {} }, "INVALID_OPTIONS"],
      [{ stepped: true, onProgress: true }, "INVALID_OPTIONS"],
      [{ stepped: "yes" }, "INVALID_OPTIONS"],
      [{ stepped: true, requestId: "r".repeat(117) }, "INVALID_REQUEST_ID"],
      [{ stepped: true, requestId: "" }, "INVALID_REQUEST_ID"],
    ] as const)
      await expect(s.cortex.mutable.purgeNamespace("limits", options as object)).toFailWith(code);
    expect(await s.cortex.mutable.count("limits")).toBe(2);
    const requestId = "r".repeat(116);
    expect(
      await s.cortex.mutable.purgeNamespace("limits", { stepped: true, requestId }),
    ).toMatchObject({ deleted: 2 });
  });

  it("refuses the token of another tenant, namespace, RPC or dry run, and what is no token", async () => {
    await seed("tokens", 3);
    const { continueToken } = await first("tokens", 1);
    const refused = { reason: "INVALID_PAGE_TOKEN", details: { field: "continue_token" } };
    const request = { entriesMax: 1, continueToken };
    const parts = JSON.parse(Buffer.from(continueToken, "base64url").toString());
    const forged = (i: number, part: unknown) =>
      Buffer.from(JSON.stringify(parts.with(i, part))).toString("base64url");
    for (const reply of [
      step("tokens", 1, { continueToken }, { "x-tenant-id": "other" }),
      step("others", 1, { continueToken }),
      step("tokens", 1, { continueToken, dryRun: true }),
      raw.call(purgeMany, { ...request, namespace: "tokens", filter: { keyPrefix: "k" } }),
      raw.call(purgeAll, request),
      ...[
        "",
        "x",
        `${continueToken}x`,
        forged(2, "a\0"),
        forged(3, "-1"),
        forged(3, "1".repeat(19)),
        forged(4, ""),
        forged(4, 1),
      ].map((token) => step("tokens", 1, { continueToken: token })),
    ])
      expect(await reply).toMatchObject(refused);
    expect(await raw.call(purgeNamespace, { namespace: "tokens", continueToken })).toMatchObject({
      reason: "INVALID_OPTIONS",
      details: { field: "continue_token", problem: "needs entries_max" },
    });
    expect(await s.cortex.mutable.count("tokens")).toBe(2);
    expect(await step("tokens", 10, { continueToken })).toMatchObject({ deletedTotal: 3n });
  });

  it("tells how far it is, and leaves what is created meanwhile, so that it ends", async () => {
    await seed("ending", 50);
    const progress: unknown[] = [];
    const result = await s.cortex.mutable.purgeNamespace("ending", {
      stepped: true,
      entriesPerStep: 20,
      onProgress: async (so) => {
        progress.push(so);
        // Behind the position, before it, and a key anew that was deleted meanwhile. k0049 is only changed.
        await s.cortex.mutable.setMany("ending", {
          k0000: 2,
          [`k9${progress.length}`]: 2,
          k0049: 2,
        });
        await s.cortex.mutable.delete("ending", "k0048");
        await s.cortex.mutable.set("ending", "k0048", 2);
      },
    });
    expect(progress).toEqual([
      { deleted: 20, done: false },
      { deleted: 40, done: false },
      { deleted: 49, done: true },
    ]);
    expect(result).toMatchObject({ deleted: 49, keysDeleted: 49, dryRun: false });
    const { records } = await s.cortex.mutable.list("ending");
    expect(records.map(({ key }) => key)).toEqual(["k0000", "k0048", "k0049", "k91", "k92", "k93"]);
  });

  it("holds nobody up: a step that waits for a locked entry locks no other step's entries", async () => {
    await seed("locked", 30);
    let purging: Promise<unknown> = Promise.resolve();
    await s.sql.begin(async (tx) => {
      await tx`update mutable set revision = nextval('revision') where namespace = 'locked' and key = 'k0015'`;
      purging = s.cortex.mutable.purgeNamespace("locked", { stepped: true, entriesPerStep: 10 });
      await expect
        .poll(
          async () =>
            (
              await s.sql`
                select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
            ).length,
          { interval: 5 },
        )
        .toBeGreaterThan(0);
      expect(await s.cortex.mutable.count("locked")).toBe(20); // the first step is done
      const options = { timeoutMs: 5000 };
      await s.cortex.mutable.set("locked", "k0000", 2, options);
      await s.cortex.mutable.increment("locked", "k0025", 1, options);
      await s.cortex.mutable.set("locked", "k0016", 2, options); // locks are taken in the order of keys
    });
    expect(await purging).toMatchObject({ deleted: 30 });
    expect(await s.cortex.mutable.count("locked")).toBe(1);
  });

  it("misses no key that a transaction deleted and created again while the step waited for it", async () => {
    await seed("step-again", 4);
    const t = new RawTransaction(s.address);
    await t.ask({ case: "begin", value: {} });
    const entry = { namespace: "step-again", key: "k0001" };
    for (const operation of [
      { case: "delete" as const, value: {} },
      { case: "set" as const, value: { valueJson: "4" } },
    ])
      await t.ask({ case: "write", value: { operations: [{ ...entry, operation } as never] } });
    const purged = first("step-again", 3);
    await expect
      .poll(
        async () =>
          (
            await s.sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
          ).length,
        {
          interval: 5,
        },
      )
      .toBeGreaterThan(0);
    await t.ask({ case: "commit", value: {} });
    t.close();
    const { deleted, keys, continueToken } = await purged;
    expect([deleted, keys]).toEqual([3n, ["k0000", "k0001", "k0002"]]);
    expect(await step("step-again", 3, { continueToken })).toMatchObject({ keys: ["k0003"] });
  });

  it("goes on under its request id after kill -9 of the server and lost replies, and deletes nothing twice", async () => {
    const { mutable, immutable } = s.client({ tenantId: "killed" });
    await seed("killed", 60, mutable);
    const killed = await spawnServer(["--database-url", s.databaseUrl]);
    const proxy = await proxyToServer(killed.address);
    onTestFinished(async () => {
      proxy.close();
      await killed.end("SIGKILL");
    });
    const doomed = s.client({ tenantId: "killed", address: `127.0.0.1:${proxy.port}` });
    const options = { stepped: true, entriesPerStep: 10, requestId: "killed" } as const;
    let steps = 0;
    const onProgress = () => {
      steps++;
      if (steps === 2) proxy.cut();
      if (steps === 4) killed.child.kill("SIGKILL");
    };
    await expect(
      doomed.mutable.purgeNamespace("killed", { ...options, onProgress, timeoutMs: 1000 }),
    ).toFailWith("UNAVAILABLE");
    expect([steps, await mutable.count("killed")]).toEqual([4, 20]);
    await mutable.set("killed", "k0000", 2); // a step that is repeated does not delete it
    const progress: number[] = [];
    const again = {
      ...options,
      onProgress: ({ deleted }: { deleted: number }) => void progress.push(deleted),
    };
    for (let i = 0; i < 2; i++)
      expect(await mutable.purgeNamespace("killed", again)).toMatchObject({
        deleted: 60,
        keys: keysOf(60),
      });
    expect(progress).toEqual([10, 20, 30, 40, 50, 60, 10, 20, 30, 40, 50, 60]);
    expect(await mutable.count("killed")).toBe(1);
    const { records } = await immutable.list({ type: auditType });
    expect(records.map(({ data }) => data.deleted)).toEqual(Array(6).fill({ entries: 10 }));
  });

  it("ends when the signal aborts; what was deleted stays deleted", async () => {
    await seed("aborted", 30);
    const { signal, abort } = ((c) => ({ signal: c.signal, abort: () => c.abort() }))(
      new AbortController(),
    );
    const options = { stepped: true, entriesPerStep: 10, signal, onProgress: abort } as const;
    await expect(s.cortex.mutable.purgeNamespace("aborted", options)).toFailWith("CANCELLED");
    expect(await s.cortex.mutable.count("aborted")).toBe(20);
  });
});
