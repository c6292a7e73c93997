import { expect, it } from "vitest";
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

/** Waits until `count` statements of the server wait for a lock. */
async function waiting(count: number): Promise<void> {
  for (;;) {
    const rows =
      await s.sql`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
    if (rows.length >= count) return;
  }
}
