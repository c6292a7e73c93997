import { describe, expect, it } from "vitest";
import { serve } from "../support/server.js";

describe("purgeAll", () => {
  const s = serve({ allowPurgeAll: true });
  const guarded = serve();

  it("deletes every entry of its tenant, and of no other", async () => {
    const acme = s.client({ tenantId: "acme" });
    await s.cortex.mutable.set("a", "k", 1);
    await s.cortex.mutable.set("b", "k", 1);
    await acme.mutable.set("a", "k", 1);
    expect(await s.cortex.mutable.purgeAll({ dryRun: true })).toEqual({ deleted: 2, dryRun: true });
    expect(await s.cortex.mutable.purgeAll()).toEqual({ deleted: 2, dryRun: false });
    expect(await s.cortex.mutable.listNamespaces()).toEqual([]);
    expect(await acme.mutable.get("a", "k")).toBe(1);
  });

  it("is off unless the server was started with --allow-purge-all", async () => {
    await guarded.cortex.mutable.set("a", "k", 1);
    await expect(guarded.cortex.mutable.purgeAll()).toFailWith("PURGE_ALL_DISABLED");
    await expect(guarded.cortex.mutable.purgeAll({ dryRun: true })).toFailWith(
      "PURGE_ALL_DISABLED",
    );
    expect(await guarded.cortex.mutable.get("a", "k")).toBe(1);
  });
});
