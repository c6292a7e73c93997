import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("lists by id with the shape of the other lists, by prefix and page", async () => {
  const { users } = s.client({ tenantId: "list" });
  for (const id of ["b2", "a", "b1", "c"]) await users.create(id);
  const ids = async (filters: object) => (await users.list(filters)).records.map(({ id }) => id);
  expect(await users.list()).toMatchObject({ total: 4, limit: 100, offset: 0, hasMore: false });
  expect(await ids({})).toEqual(["a", "b1", "b2", "c"]);
  expect(await ids({ idPrefix: "b" })).toEqual(["b1", "b2"]);
  expect(await users.list({ limit: 2, offset: 1 })).toMatchObject({
    records: [{ id: "b1" }, { id: "b2" }],
    total: 4,
    hasMore: true,
  });
  for (const limit of [0, -1, 1001])
    await expect(users.list({ limit })).toFailWith("INVALID_LIMIT");
  await expect(users.list({ offset: -1 })).toFailWith("INVALID_OFFSET");
  await expect(users.list({ idPrefix: "" })).toFailWith("INVALID_FILTER");
  await expect(users.list({ prefix: "b" } as object)).toFailWith("INVALID_FILTER");
});

it("gives what was asked for also where profiles are too large for one page", async () => {
  const { users } = s.client({ tenantId: "large" });
  for (let i = 0; i < 40; i++) await users.create(`u${i + 10}`, { text: "x".repeat(60_000) });
  const { records, hasMore } = await users.list({ limit: 39 });
  expect(records.map(({ id }) => id)).toEqual(Array.from({ length: 39 }, (_, i) => `u${i + 10}`));
  expect(hasMore).toBe(true);
});
