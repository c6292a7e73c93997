import { expect, it } from "vitest";
import type { ImmutableChange } from "../../client/index.js";
import { auditType } from "../../server/storage/audit/audit.js";
import { serve } from "../support/server.js";
import { collect, opened } from "../support/watch.js";

const s = serve();

const brief = (changes: ImmutableChange[]) =>
  changes.map(({ kind, id, version, data }) => [kind, id, version, ...(data ? [data] : [])]);

it("gives versions, purges and erasures in the order of their commits", async () => {
  const { immutable, mutable, users } = s.cortex;
  await users.upsert("u", {});
  const watch = await opened((options) => immutable.watch("t1", options));
  await immutable.store({ type: "t1", id: "a", data: { n: 1 } });
  await immutable.store({ type: "other", id: "a", data: {} });
  await immutable.store({ type: "t1", id: "a", data: { n: 2 }, userId: "u" });
  await mutable.transaction(async (tx) => {
    tx.store({ type: "t1", id: "b", data: { n: 1 } });
    tx.store({ type: "t1", id: "b", data: { n: 2 } });
  });
  await immutable.purgeVersions("t1", "b", { keepLatest: 1 });
  await immutable.purge("t1", "b");
  await users.delete("u", { cascade: true });
  expect(brief(await collect(watch, 5))).toEqual([
    ["set", "a", 1, { n: 1 }],
    ["set", "a", 2, { n: 2 }],
    ["set", "b", 2, { n: 2 }],
    ["purge", "b", 2],
    ["erase", "a", 2],
  ]);
});

it("begins with the current versions, of one id or a prefix", async () => {
  const { immutable } = s.cortex;
  for (const id of ["a", "ab", "b"])
    for (const n of [1, 2]) await immutable.store({ type: "t2", id, data: { n } });
  const current = (options: object) => immutable.watch("t2", { includeCurrent: true, ...options });
  expect(brief(await collect(current({ idPrefix: "a" }), 2))).toEqual([
    ["current", "a", 2, { n: 2 }],
    ["current", "ab", 2, { n: 2 }],
  ]);
  expect(brief(await collect(current({ id: "b" }), 1))).toEqual([["current", "b", 2, { n: 2 }]]);
});

it("gives the audit trail to those who may read it", async () => {
  const { immutable, mutable } = s.cortex;
  const watch = await opened((options) => immutable.watch(auditType, options));
  await mutable.set("n", "k", 1);
  await mutable.purgeNamespace("n");
  const [record] = await collect(watch, 1);
  expect(record).toMatchObject({
    kind: "set",
    version: 1,
    data: { action: "MutableStore.PurgeNamespace", deleted: { entries: 1 } },
  });
});

it("refuses what names no records", async () => {
  const watch = (type: string, options = {}) => s.cortex.immutable.watch(type, options).next();
  await expect(watch("")).rejects.toMatchObject({ code: "INVALID_TYPE" });
  await expect(watch("t", { id: "" })).rejects.toMatchObject({ code: "INVALID_ID" });
  await expect(watch("t", { idPrefix: "" })).rejects.toMatchObject({ code: "INVALID_FILTER" });
  await expect(watch("t", { id: "a", idPrefix: "a" })).rejects.toMatchObject({
    code: "INVALID_OPTIONS",
  });
  await expect(watch("t", { cursor: "x" })).rejects.toMatchObject({ code: "INVALID_CURSOR" });
});
