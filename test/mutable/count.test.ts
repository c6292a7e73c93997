import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("counts what list with the same filters lists", async () => {
  await s.cortex.users.upsert("u");
  await s.cortex.mutable.setMany("ns", [
    { key: "a:1", value: 1, userId: "u" },
    { key: "a:2", value: 1 },
    { key: "b:1", value: 1, userId: "u" },
  ]);
  expect(await s.cortex.mutable.count("ns")).toBe(3);
  expect(await s.cortex.mutable.count("ns", { keyPrefix: "a:" })).toBe(2);
  expect(await s.cortex.mutable.count("ns", { userId: "u" })).toBe(2);
  expect(await s.cortex.mutable.count("ns", { keyPrefix: "a:", userId: "u" })).toBe(1);
  expect(
    await s.cortex.mutable.count("ns", { updatedAfter: new Date(Date.now() - 86_400_000) }),
  ).toBe(3);
  expect(await s.cortex.mutable.count("ns", { updatedBefore: new Date(0) })).toBe(0);
  expect(await s.cortex.mutable.count("empty")).toBe(0);
});

it("refuses what has no meaning for a count", async () => {
  for (const filters of [{ limit: 5 }, { sortBy: "key" }, { offset: 1 }, { keyPrefix: "" }])
    await expect(s.cortex.mutable.count("ns", filters as object)).toFailWith("INVALID_FILTER");
});
