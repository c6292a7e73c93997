import { expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

it("stores all entries and gives their records in order", async () => {
  await s.cortex.users.upsert("u");
  const records = await s.cortex.mutable.setMany("ns", [
    { key: "z", value: 1, userId: "u", metadata: { m: 1 }, ttlSeconds: 60 },
    { key: "a", value: [2] },
  ]);
  expect(records).toMatchObject([
    { key: "z", value: 1, userId: "u", metadata: { m: 1 }, expiresAt: expect.any(Date) },
    { key: "a", value: [2], metadata: {} },
  ]);
  expect(await s.cortex.mutable.getRecord("ns", "z")).toEqual(records[0]);
});

it("keeps for each entry what it does not give, and clears what is null", async () => {
  await s.cortex.users.upsert("u");
  await s.cortex.mutable.setMany("kept", [
    { key: "a", value: 1, userId: "u", metadata: { m: 1 } },
    { key: "b", value: 1, userId: "u", metadata: { m: 1 } },
  ]);
  const [a, b] = await s.cortex.mutable.setMany("kept", [
    { key: "a", value: 2 },
    { key: "b", value: 2, userId: null, metadata: null },
  ]);
  expect(a).toMatchObject({ value: 2, userId: "u", metadata: { m: 1 } });
  expect(b?.userId).toBeUndefined();
  expect(b?.metadata).toEqual({});
});

it("stores all or none", async () => {
  await s.cortex.mutable.set("atomic", "a", "before");
  const entries = [
    { key: "a", value: "after" },
    { key: "b", value: 1, userId: "nobody" },
  ];
  await expect(s.cortex.mutable.setMany("atomic", entries)).toFailWith("USER_NOT_FOUND", {
    user_id: "nobody",
  });
  await expect(
    s.cortex.mutable.setMany("atomic", [
      { key: "a", value: "after" },
      { key: "", value: 1 },
    ]),
  ).toFailWith("INVALID_KEY", { field: "entries[1].key" });
  expect(await s.cortex.mutable.getMany("atomic", ["a", "b"])).toEqual(["before", null]);
});

it("is a no-op without entries, takes 1000, and refuses more, or a key twice", async () => {
  expect(await s.cortex.mutable.setMany("ns", [])).toEqual([]);
  expect(await s.cortex.mutable.setMany("ns", {})).toEqual([]);
  const entries = Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, value: i }));
  expect(await s.cortex.mutable.setMany("many", entries)).toHaveLength(1000);
  await expect(s.cortex.mutable.setMany("many", [...entries, { key: "x", value: 1 }])).toFailWith(
    "INVALID_BATCH",
  );
  await expect(
    s.cortex.mutable.setMany("ns", [
      { key: "k", value: 1 },
      { key: "k", value: 2 },
    ]),
  ).toFailWith("INVALID_BATCH", {
    field: "entries[1].key",
  });
  await expect(
    s.cortex.mutable.setMany("ns", [{ key: "k", value: 1, ttl: 5 } as never]),
  ).toFailWith("INVALID_BATCH");
});

it("does not deadlock with a batch of the same keys in another order", async () => {
  const keys = Array.from({ length: 50 }, (_, i) => `k${i}`);
  const forward = keys.map((key) => ({ key, value: "forward" }));
  const rounds = Array.from({ length: 40 }, (_, i) =>
    s.cortex.mutable.setMany(
      "orders",
      i % 2 ? forward : forward.toReversed().map(({ key }) => ({ key, value: "back" })),
    ),
  );
  await Promise.all(rounds);
  expect(new Set(await s.cortex.mutable.getMany("orders", keys)).size).toBe(1);
});

it("is refused as a whole if its reply would be larger than a caller can take, with the metadata that stays", async () => {
  const metadata = { text: "m".repeat(60_000) };
  const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
  for (const key of keys) await s.cortex.mutable.set("large", key, 0, { metadata });
  const entries = (count: number) =>
    Object.fromEntries(keys.slice(0, count).map((key) => [key, 1]));
  await expect(s.cortex.mutable.setMany("large", entries(100))).toFailWith("REPLY_TOO_LARGE");
  expect(await s.cortex.mutable.getMany("large", ["k0", "k99"])).toEqual([0, 0]);
  const raw = new Raw(s.address);
  const request = (count: number) => ({
    namespace: "large",
    entries: keys.slice(0, count).map((key) => ({ key, valueJson: "1" })),
  });
  expect(await raw.call(MutableStore.method.batchSet, request(69), {})).not.toHaveProperty(
    "reason",
  );
  expect(await raw.call(MutableStore.method.batchSet, request(70), {})).toMatchObject({
    reason: "REPLY_TOO_LARGE",
  });
  // So is a commit.
  const operations = keys.map((key) => ({
    namespace: "large",
    key,
    operation: { case: "replace" as const, value: { valueJson: "2" } },
  }));
  expect(await raw.call(MutableStore.method.commit, { operations }, {})).toMatchObject({
    details: { reason: "REPLY_TOO_LARGE" },
  });
  raw.close();
  expect(await s.cortex.mutable.get("large", "k99")).toBe(0);
});
