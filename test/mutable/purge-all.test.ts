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

  it("in steps goes through the namespaces in order; what is created meanwhile stays", async () => {
    const { mutable } = s.client({ tenantId: "steps" });
    const stranger = s.client({ tenantId: "stranger" });
    await stranger.mutable.set("b", "k", 1);
    for (const namespace of ["a", "b", "c"]) await mutable.setMany(namespace, { 1: 1, 2: 2, 3: 3 });
    const all = { stepped: true, entriesPerStep: 2 } as const;
    expect(await mutable.purgeAll({ ...all, dryRun: true })).toEqual({ deleted: 9, dryRun: true });
    const left: string[] = [];
    const onProgress = async () => {
      if (left.length === 0) for (const name of ["a", "z"]) await mutable.set(name, "new", 1);
      const { records } = await mutable.list("b");
      left.push(
        (await mutable.listNamespaces()).map(({ namespace, keys }) => namespace + keys).join(),
      );
      expect(records.map(({ key }) => key)).toEqual(["1", "2", "3"].slice(3 - records.length));
    };
    expect(await mutable.purgeAll({ ...all, onProgress })).toEqual({ deleted: 9, dryRun: false });
    expect(left).toEqual(["a2,b3,c3,z1", "a1,b2,c3,z1", "a1,c3,z1", "a1,c1,z1", "a1,z1"]);
    expect(await stranger.mutable.count("b")).toBe(1);
  });

  it("in steps is off too unless the server allows it", async () => {
    await expect(guarded.cortex.mutable.purgeAll({ stepped: true })).toFailWith(
      "PURGE_ALL_DISABLED",
    );
  });
});
