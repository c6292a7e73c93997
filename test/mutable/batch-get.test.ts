import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("gives the values in the order of the keys, null for missing ones, also where a key repeats", async () => {
  await s.cortex.mutable.setMany("ns", { a: 1, b: { x: 2 }, c: null });
  expect(await s.cortex.mutable.getMany("ns", ["c", "b", "missing", "a", "b"])).toEqual([
    null,
    { x: 2 },
    null,
    1,
    { x: 2 },
  ]);
});

it("is a no-op without keys", async () => {
  expect(await s.cortex.mutable.getMany("ns", [])).toEqual([]);
});

it("takes 1000 keys, and no more", async () => {
  const keys = Array.from({ length: 1000 }, (_, i) => `k${i}`);
  expect(await s.cortex.mutable.getMany("ns", keys)).toHaveLength(1000);
  await expect(s.cortex.mutable.getMany("ns", [...keys, "one-more"])).toFailWith("INVALID_BATCH", {
    got: "1001",
  });
});

it("refuses a reply above 4 MiB before it reads the values", async () => {
  const big = "x".repeat(1024 * 1024 - 2);
  await s.cortex.mutable.set("big", "k", big);
  expect(await s.cortex.mutable.getMany("big", ["k", "k", "k"])).toEqual([big, big, big]);
  await expect(s.cortex.mutable.getMany("big", ["k", "k", "k", "k"])).toFailWith("REPLY_TOO_LARGE");
});
