import { describe, expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

describe("create", () => {
  it("creates a user once", async () => {
    const user = await s.cortex.users.create("alex", { name: "Alex" });
    expect(user).toEqual({
      id: "alex",
      profile: { name: "Alex" },
      createdAt: expect.any(Date),
      updatedAt: user.createdAt,
    });
    await expect(s.cortex.users.create("alex")).toFailWith("USER_EXISTS", { user_id: "alex" });
    expect(await s.cortex.users.get("alex")).toEqual(user);
  });

  it("lets one of many rivals win", async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 16 }, () => s.cortex.users.create("rival")),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("refuses bad ids and profiles", async () => {
    for (const id of ["", "  ", "a\nb", "x".repeat(257), "\ud800", 5 as unknown as string])
      await expect(s.cortex.users.create(id)).toFailWith("INVALID_USER_ID");
    expect((await s.cortex.users.create("x".repeat(256))).profile).toEqual({});
    await expect(s.cortex.users.create("p", [] as never)).toFailWith("INVALID_METADATA");
    const fits = { text: "x".repeat(64 * 1024 - 11) };
    expect(JSON.stringify(fits)).toHaveLength(64 * 1024);
    await s.cortex.users.create("p", fits);
    await expect(s.cortex.users.create("q", { text: `${fits.text}x` })).toFailWith(
      "INVALID_METADATA",
      { got: "65537" },
    );
  });
});

describe("upsert", () => {
  it("creates, then replaces the profile only where one is given", async () => {
    const created = await s.cortex.users.upsert("sam", { a: 1 });
    expect(await s.cortex.users.upsert("sam")).toEqual(created);
    const changed = await s.cortex.users.upsert("sam", { b: 2 });
    expect(changed).toMatchObject({ profile: { b: 2 }, createdAt: created.createdAt });
  });
});

describe("get", () => {
  it("gives null where nobody has the id", async () => {
    expect(await s.cortex.users.get("nobody")).toBeNull();
  });
});

describe("list", () => {
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
});
