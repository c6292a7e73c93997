import { expect, it } from "vitest";
import { RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

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
    .poll(async () => (await s.sql`select from pg_locks where not granted`).length, { interval: 5 })
    .toBeGreaterThan(0);
  await t.ask({ case: "commit", value: {} });
  t.close();
  expect(await purged).toMatchObject({ deleted: 3, keys: ["a", "b", "c"] });
  expect(await s.cortex.mutable.count("again")).toBe(0);
});
