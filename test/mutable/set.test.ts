import { describe, expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

describe("set", () => {
  it("creates and overwrites, keeping createdAt and moving updatedAt and the revision", async () => {
    const first = await s.cortex.mutable.set("inventory", "widget-qty", 100);
    expect(first).toMatchObject({
      namespace: "inventory",
      key: "widget-qty",
      value: 100,
      metadata: {},
      accessCount: 0,
    });
    expect(first.userId).toBeUndefined();
    expect(first.lastAccessed).toBeUndefined();
    expect(first.expiresAt).toBeUndefined();
    expect(first.createdAt).toEqual(first.updatedAt);
    const second = await s.cortex.mutable.set("inventory", "widget-qty", 95);
    expect(second.value).toBe(95);
    expect(second.createdAt).toEqual(first.createdAt);
    expect(second.updatedAt.getTime()).toBeGreaterThanOrEqual(first.updatedAt.getTime());
    expect(BigInt(second.revision)).toBeGreaterThan(BigInt(first.revision));
  });
});
