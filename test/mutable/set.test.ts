import { describe, expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();
const ns = "inventory";

describe("set", () => {
  it("creates and overwrites, keeping createdAt and moving updatedAt and the revision", async () => {
    const first = await s.cortex.mutable.set(ns, "widget-qty", 100);
    expect(first).toMatchObject({
      namespace: ns,
      key: "widget-qty",
      value: 100,
      metadata: {},
      accessCount: 0,
    });
    expect(first.userId).toBeUndefined();
    expect(first.lastAccessed).toBeUndefined();
    expect(first.expiresAt).toBeUndefined();
    expect(first.createdAt).toEqual(first.updatedAt);
    const second = await s.cortex.mutable.set(ns, "widget-qty", 95);
    expect(second.value).toBe(95);
    expect(second.createdAt).toEqual(first.createdAt);
    expect(second.updatedAt.getTime()).toBeGreaterThanOrEqual(first.updatedAt.getTime());
    expect(BigInt(second.revision)).toBeGreaterThan(BigInt(first.revision));
  });

  it.each([
    ["null", null],
    ["false", false],
    ["zero", 0],
    ["a negative fraction", -0.25],
    ["an empty text", ""],
    ["text in many scripts", "café 日本語 \u202e 🎉 \u0000 \\ \" '"],
    ["an empty array", []],
    ["a nested object", { b: [1, { c: null }], a: { "": true, "a.b": 1 } }],
    ["a member named __proto__", JSON.parse('{"__proto__": {"x": 1}}')],
  ])("stores %s", async (name, value) => {
    const record = await s.cortex.mutable.set("values", name, value);
    expect(record.value).toEqual(value);
    expect(await s.cortex.mutable.get("values", name)).toEqual(value);
  });

  it("stores a Date as its ISO string, and returns what it stored", async () => {
    const at = new Date("2025-10-24T08:00:00.123Z");
    const { value } = await s.cortex.mutable.set<unknown>(ns, "dated", { at });
    expect(value).toEqual({ at: "2025-10-24T08:00:00.123Z" });
  });

  it("keeps user and metadata that are not given; null clears them", async () => {
    await s.cortex.users.create("user-123");
    const { set } = s.cortex.mutable;
    const bound = set.bind(s.cortex.mutable);
    const first = await bound(ns, "linked", 1, {
      userId: "user-123",
      metadata: { source: "till" },
    });
    expect(first).toMatchObject({ userId: "user-123", metadata: { source: "till" } });
    expect(await bound(ns, "linked", 2)).toMatchObject({
      value: 2,
      userId: "user-123",
      metadata: { source: "till" },
    });
    const cleared = await bound(ns, "linked", 3, { userId: null, metadata: null });
    expect(cleared.userId).toBeUndefined();
    expect(cleared.metadata).toEqual({});
    expect((await bound(ns, "linked", 4, "user-123")).userId).toBe("user-123");
  });

  it("refuses a user nobody knows, and stores nothing", async () => {
    await expect(s.cortex.mutable.set(ns, "orphan", 1, "nobody")).toFailWith("USER_NOT_FOUND", {
      user_id: "nobody",
    });
    expect(await s.cortex.mutable.exists(ns, "orphan")).toBe(false);
  });

  it("stores with ifRevision only on that revision", async () => {
    const first = await s.cortex.mutable.set(ns, "cas", 1);
    const second = await s.cortex.mutable.set(ns, "cas", 2, { ifRevision: first.revision });
    await expect(s.cortex.mutable.set(ns, "cas", 3, { ifRevision: first.revision })).toFailWith(
      "REVISION_MISMATCH",
      {
        expected_revision: first.revision,
        current_revision: second.revision,
      },
    );
    expect(await s.cortex.mutable.get(ns, "cas")).toBe(2);
    await expect(
      s.cortex.mutable.set(ns, "cas-missing", 1, { ifRevision: first.revision }),
    ).toFailWith("REVISION_MISMATCH", { current_revision: "0" });
    for (const ifRevision of ["0", "-1", "x", "99999999999999999999"])
      await expect(s.cortex.mutable.set(ns, "cas", 3, { ifRevision })).toFailWith(
        "INVALID_REVISION",
      );
  });

  it("does not take a revision of a former life of the key", async () => {
    const { revision } = await s.cortex.mutable.set(ns, "reborn", 1);
    await s.cortex.mutable.delete(ns, "reborn");
    await s.cortex.mutable.set(ns, "reborn", 1);
    await expect(s.cortex.mutable.set(ns, "reborn", 2, { ifRevision: revision })).toFailWith(
      "REVISION_MISMATCH",
    );
  });

  it("stores with ifAbsent only where nothing is", async () => {
    const first = await s.cortex.mutable.set(ns, "once", 1, { ifAbsent: true });
    await expect(s.cortex.mutable.set(ns, "once", 2, { ifAbsent: true })).toFailWith("KEY_EXISTS", {
      current_revision: first.revision,
    });
    expect(await s.cortex.mutable.get(ns, "once")).toBe(1);
    await expect(
      s.cortex.mutable.set(ns, "once", 2, { ifAbsent: true, ifRevision: first.revision }),
    ).toFailWith("INVALID_OPTIONS");
  });

  it("lets one of many ifAbsent rivals win", async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 32 }, (_, i) =>
        s.cortex.mutable.set(ns, "rivals", i, { ifAbsent: true }),
      ),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("refuses what it does not know: an option, a ttl that is no number", async () => {
    await expect(s.cortex.mutable.set(ns, "k", 1, { ttl: 60 } as object)).toFailWith(
      "INVALID_OPTIONS",
      { field: "ttl" },
    );
    await expect(
      s.cortex.mutable.set(ns, "k", 1, { ttlSeconds: "60" as unknown as number }),
    ).toFailWith("INVALID_TTL");
    for (const metadata of [[], "text", 1])
      await expect(
        s.cortex.mutable.set(ns, "k", 1, {
          metadata: metadata as unknown as object as Record<string, unknown>,
        }),
      ).toFailWith("INVALID_METADATA");
    expect(await s.cortex.mutable.exists(ns, "k")).toBe(false);
  });
});
