import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("counts what list with the same filters lists", async () => {
  await s.cortex.users.create("u");
  const store = (type: string, id: string, more = {}) =>
    s.cortex.immutable.store({ type, id, data: {}, ...more });
  await store("a", "1", {
    userId: "u",
    metadata: { tags: ["x", "y"], category: { name: "refunds" } },
  });
  await store("a", "2", { metadata: { tags: ["y"] } });
  await store("b", "1");
  const second = await store("b", "1");
  const count = (filters = {}) => s.cortex.immutable.count(filters);
  expect(await count()).toBe(3);
  expect(await count({ type: "a" })).toBe(2);
  expect(await count({ type: "a", types: ["b", "c"] })).toBe(3);
  expect(await count({ types: ["b", "c"] })).toBe(1);
  expect(await count({ userId: "u" })).toBe(1);
  expect(await count({ userId: "nobody" })).toBe(0);
  expect(await count({ tags: ["y"] })).toBe(2);
  expect(await count({ tags: ["x", "y"] })).toBe(1);
  expect(await count({ anyTag: ["x"] })).toBe(1);
  expect(await count({ anyTag: ["x", "z"] })).toBe(1);
  expect(await count({ anyTag: ["x", "y"] })).toBe(2);
  expect(await count({ metadata: { category: { name: "refunds" } } })).toBe(1);
  expect(await count({ metadata: { category: "refunds" } })).toBe(0);
  expect(await count({ minVersion: 2 })).toBe(1);
  expect(await count({ createdAfter: second.createdAt })).toBe(0);
  expect(await count({ createdAfter: new Date(second.createdAt.getTime() - 1) })).toBe(1);
  expect(await count({ createdBefore: second.createdAt })).toBe(2);
  expect(await count({ createdAfter: new Date(), createdBefore: new Date(0) })).toBe(0);
});

it("refuses options that have no meaning for a count, and empty or invalid filters", async () => {
  for (const filters of [
    { limit: 5 },
    { sortBy: "type" },
    { searchIn: "data" },
    { types: [] },
    { types: [""] },
    { tags: [] },
    { tags: [""] },
    { tags: "x" },
    { anyTag: [] },
    { metadata: {} },
    { metadata: [] },
    { metadata: "x" },
    { minVersion: 0 },
    { minVersion: 1.5 },
    { userId: "" },
    { createdAfter: "2025-01-01" },
    { tags: Array.from({ length: 101 }, () => "x") },
    { types: Array.from({ length: 101 }, () => "x") },
  ])
    await expect(s.cortex.immutable.count(filters as object)).toFailWith("INVALID_FILTER");
  await expect(s.cortex.immutable.count({ type: "a\nb" })).toFailWith("INVALID_TYPE");
  await expect(s.cortex.immutable.count({ type: "" })).toFailWith("INVALID_FILTER");
});
