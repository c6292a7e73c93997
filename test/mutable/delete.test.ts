import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("deletes a key, and says when", async () => {
  await s.cortex.mutable.set("ns", "k", 1);
  const result = await s.cortex.mutable.delete("ns", "k");
  expect(result).toEqual({ deleted: true, namespace: "ns", key: "k", deletedAt: expect.any(Date) });
  expect(await s.cortex.mutable.get("ns", "k")).toBeNull();
});

it("says deleted: false of a missing key, unless mustExist", async () => {
  const result = await s.cortex.mutable.delete("ns", "missing");
  expect(result).toMatchObject({ deleted: false, namespace: "ns", key: "missing" });
  expect(result.deletedAt.getTime()).not.toBeNaN();
  await expect(s.cortex.mutable.delete("ns", "missing", { mustExist: true })).toFailWith(
    "KEY_NOT_FOUND",
    {
      namespace: "ns",
      key: "missing",
    },
  );
});

it("deletes with ifRevision only on that revision", async () => {
  const first = await s.cortex.mutable.set("ns", "cas", 1);
  const second = await s.cortex.mutable.set("ns", "cas", 2);
  await expect(s.cortex.mutable.delete("ns", "cas", { ifRevision: first.revision })).toFailWith(
    "REVISION_MISMATCH",
    {
      current_revision: second.revision,
    },
  );
  expect(await s.cortex.mutable.exists("ns", "cas")).toBe(true);
  expect(
    (await s.cortex.mutable.delete("ns", "cas", { ifRevision: second.revision })).deleted,
  ).toBe(true);
  await expect(s.cortex.mutable.delete("ns", "cas", { ifRevision: second.revision })).toFailWith(
    "REVISION_MISMATCH",
    {
      current_revision: "0",
    },
  );
  await expect(
    s.cortex.mutable.delete("ns", "cas", { ifRevision: second.revision, mustExist: true }),
  ).toFailWith("KEY_NOT_FOUND");
});

it("tells exactly one of many rivals that it deleted the key", async () => {
  await s.cortex.mutable.set("ns", "rivals", 1);
  const results = await Promise.all(
    Array.from({ length: 32 }, () => s.cortex.mutable.delete("ns", "rivals")),
  );
  expect(results.filter(({ deleted }) => deleted)).toHaveLength(1);
});

it("purges one key with the counts of the other purges", async () => {
  await s.cortex.mutable.set("ns", "purged", 1);
  expect(await s.cortex.mutable.purge("ns", "purged")).toMatchObject({
    deleted: true,
    keysDeleted: 1,
    namespace: "ns",
    keys: ["purged"],
    dryRun: false,
  });
  expect(await s.cortex.mutable.purge("ns", "purged")).toMatchObject({
    deleted: false,
    keysDeleted: 0,
    keys: [],
  });
});
