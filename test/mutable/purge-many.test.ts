import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MutableStore, type PurgeManyResponse } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

it("deletes what list with the same filters lists, and counts it with dryRun", async () => {
  await s.cortex.users.upsert("u");
  const seed = () =>
    s.cortex.mutable.setMany("cache", [
      { key: "a:1", value: 1, userId: "u" },
      { key: "a:2", value: 1 },
      { key: "b:1", value: 1, userId: "u" },
    ]);
  const far = new Date(Date.now() + 86_400_000);
  const cases = [
    [{ keyPrefix: "a:" }, ["a:1", "a:2"]],
    [{ userId: "u" }, ["a:1", "b:1"]],
    [{ updatedBefore: far, keyPrefix: "b" }, ["b:1"]],
    [{ updatedAfter: far }, []],
    [{ lastAccessedBefore: far, userId: "u" }, ["a:1", "b:1"]],
    [{ lastAccessedBefore: new Date(0) }, []],
  ] as const;
  for (const [filters, keys] of cases) {
    await seed();
    const result = { deleted: keys.length, keysDeleted: keys.length, namespace: "cache", keys };
    expect(await s.cortex.mutable.purgeMany("cache", filters, { dryRun: true })).toEqual({
      ...result,
      dryRun: true,
    });
    expect(await s.cortex.mutable.count("cache")).toBe(3);
    expect(await s.cortex.mutable.purgeMany("cache", filters)).toEqual({
      ...result,
      dryRun: false,
    });
    expect(await s.cortex.mutable.count("cache")).toBe(3 - keys.length);
  }
});

it("refuses an empty filter, and one that it cannot honour", async () => {
  await s.cortex.mutable.set("kept", "k", 1);
  for (const filters of [
    {},
    { updatedBefore: undefined },
    { limit: 5 },
    { keyPrefix: "" },
    { sortBy: "key" },
  ])
    await expect(s.cortex.mutable.purgeMany("kept", filters as object)).toFailWith(
      "INVALID_FILTER",
    );
  expect(await s.cortex.mutable.count("kept")).toBe(1);
});

it("spares an entry that a rival changed meanwhile so that it no longer matches", async () => {
  await s.cortex.mutable.set("raced", "k", 1);
  const before = new Date(Date.now() + 1);
  let purging: Promise<unknown> = Promise.resolve();
  await s.sql.begin(async (tx) => {
    await tx`update mutable set updated_at = now() + interval '1 hour' where namespace = 'raced'`;
    purging = s.cortex.mutable.purgeMany("raced", { updatedBefore: before });
    await waiting(1);
  });
  expect(await purging).toMatchObject({ deleted: 0 });
});

it("also deletes an entry that a rival changed meanwhile if it still matches", async () => {
  await s.cortex.mutable.set("changed", "k", 1);
  let purging: Promise<unknown> = Promise.resolve();
  await s.sql.begin(async (tx) => {
    await tx`update mutable set revision = nextval('revision') where namespace = 'changed'`;
    purging = s.cortex.mutable.purgeNamespace("changed");
    await waiting(1);
  });
  expect(await purging).toMatchObject({ deleted: 1 });
});

describe("in steps", () => {
  const { purgeMany } = MutableStore.method;
  let raw: Raw;
  beforeAll(() => {
    raw = new Raw(s.address);
  });
  afterAll(() => raw.close());

  it("deletes what the filter matches, and nothing else", async () => {
    await s.cortex.users.upsert("stepped");
    await s.cortex.mutable.setMany(
      "steps",
      Array.from({ length: 30 }, (_, i) => ({
        key: `${i % 3 ? "a" : "b"}${String(i).padStart(2, "0")}`,
        value: i,
        ...(i % 2 && { userId: "stepped" }),
      })),
    );
    const far = new Date(Date.now() + 86_400_000);
    const options = { stepped: true, entriesPerStep: 2 } as const;
    for (const [filters, deleted] of [
      [{ keyPrefix: "b", userId: "stepped" }, 5],
      [{ keyPrefix: "a", lastAccessedBefore: far, updatedAfter: far }, 0],
      [{ keyPrefix: "a", lastAccessedBefore: far }, 20],
      [{ updatedBefore: far }, 5],
    ] as const) {
      const { records } = await s.cortex.mutable.list("steps", filters);
      const keys = records.map(({ key }) => key);
      const result = { namespace: "steps", deleted, keysDeleted: deleted, keys };
      const counted = await s.cortex.mutable.purgeMany("steps", filters, {
        ...options,
        dryRun: true,
      });
      expect(counted).toEqual({ ...result, dryRun: true });
      const purged = await s.cortex.mutable.purgeMany("steps", filters, options);
      expect(purged).toEqual({ ...result, dryRun: false });
    }
    expect(await s.cortex.mutable.count("steps")).toBe(0);
  });

  it("looks at ten entries for each that it may delete, then leaves the rest to the next step", async () => {
    await s.cortex.users.upsert("passed-by");
    const entries = Array.from({ length: 24 }, (_, i) => ({ key: `k${i + 10}`, value: 1 }));
    await s.cortex.mutable.setMany("sparse", entries);
    await s.cortex.mutable.set("sparse", "k19", 1, "passed-by"); // the last that the first step looks at
    const { mutable } = s.client({ agentId: "rare" });
    await mutable.setMany("sparse", { k25: 2, k33: 2 });
    const request = { namespace: "sparse", filter: { updatedBy: "rare" }, entriesMax: 1 };
    const replies: unknown[] = [];
    for (let continueToken: string | undefined, step = 1; step === 1 || continueToken; step++) {
      const next = {
        ...request,
        ...(continueToken && { continueToken }),
        requestId: `sparse-${step}`,
      };
      const reply = (await raw.call(purgeMany, next)) as PurgeManyResponse;
      replies.push([Number(reply.deleted), Number(reply.deletedTotal), reply.keys]);
      continueToken = reply.continueToken;
    }
    expect(replies).toEqual([
      [0, 0, []],
      [1, 1, ["k25"]],
      [1, 2, ["k33"]],
    ]);
    expect(await mutable.count("sparse")).toBe(22);
    // The stored reply of the first step has the name of the user's entry, in its token.
    await s.cortex.users.delete("passed-by", { cascade: true });
    expect(await raw.call(purgeMany, { ...request, requestId: "sparse-1" })).toMatchObject({
      reason: "REPLY_ERASED",
    });
  });

  it("refuses the token of another filter", async () => {
    await s.cortex.mutable.setMany("filters", { a1: 1, a2: 1 });
    const request = (keyPrefix: string) => ({
      namespace: "filters",
      filter: { keyPrefix },
      entriesMax: 1,
    });
    const { continueToken } = (await raw.call(purgeMany, request("a"))) as PurgeManyResponse;
    if (!continueToken) throw new Error("there is no token");
    expect(await raw.call(purgeMany, { ...request("a2"), continueToken })).toMatchObject({
      reason: "INVALID_PAGE_TOKEN",
      details: { field: "continue_token", problem: "belongs to another query" },
    });
    expect(await raw.call(purgeMany, { ...request("a"), continueToken })).toMatchObject({
      keys: ["a2"],
    });
  });
});

/** Waits until `count` statements of the server wait for a lock. */
async function waiting(count: number): Promise<void> {
  for (;;) {
    const rows =
      await s.sql`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
    if (rows.length >= count) return;
  }
}
