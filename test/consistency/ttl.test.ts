// Tests expiry: an expired key is absent to every read and write, and the sweep reclaims its space.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { connect } from "../../server/postgres/connection.js";
import { keepExpired } from "../support/keep-expired.js";
import { serve } from "../support/server.js";

describe("an expired key", () => {
  const s = serve({});
  keepExpired(s);

  /**
   * Moves the expiry into the past directly in the database. This works because every read checks the expiry.
   * No timer is involved.
   */
  const expire = (namespace: string) =>
    s.sql`update mutable set expire_at = now() - interval '1 second' where namespace = ${namespace} and expire_at is not null`;

  const seed = async (namespace: string) => {
    await s.cortex.users.upsert("u");
    await s.cortex.mutable.setMany(namespace, [
      { key: "dead", value: 5, ttlSeconds: 60, userId: "u", metadata: { m: 1 } },
      { key: "list", value: [1], ttlSeconds: 60 },
      { key: "alive", value: 1 },
    ]);
    await s.cortex.mutable.get(namespace, "dead");
    await expire(namespace);
  };

  it("is absent to every read", async () => {
    await seed("reads");
    expect(await s.cortex.mutable.get("reads", "dead")).toBeNull();
    expect(await s.cortex.mutable.getRecord("reads", "dead")).toBeNull();
    expect(await s.cortex.mutable.exists("reads", "dead")).toBe(false);
    expect(await s.cortex.mutable.getMany("reads", ["dead", "alive"])).toEqual([null, 1]);
    expect(await s.cortex.mutable.list("reads")).toMatchObject({
      total: 1,
      records: [{ key: "alive" }],
    });
    expect(await s.cortex.mutable.count("reads")).toBe(1);
    expect(await s.cortex.mutable.listNamespaces({ prefix: "reads" })).toMatchObject([
      { keys: 1, bytes: 1 },
    ]);
    const scanned = [];
    for await (const { key } of s.cortex.mutable.scan("reads")) scanned.push(key);
    expect(scanned).toEqual(["alive"]);
  });

  it("is absent to every write: nothing of its former life comes back", async () => {
    await seed("writes");
    await expect(s.cortex.mutable.increment("writes", "dead")).toFailWith("KEY_NOT_FOUND");
    await expect(s.cortex.mutable.append("writes", "list", 2)).toFailWith("KEY_NOT_FOUND");
    await expect(s.cortex.mutable.merge("writes", "dead", {})).toFailWith("KEY_NOT_FOUND");
    await expect(s.cortex.mutable.update("writes", "dead", (n) => n + 1)).toFailWith(
      "KEY_NOT_FOUND",
    );
    await expect(s.cortex.mutable.delete("writes", "dead", { mustExist: true })).toFailWith(
      "KEY_NOT_FOUND",
    );
    const [before] =
      await s.sql`select revision, created_at from mutable where namespace = 'writes' and key = 'dead'`;
    expect((await s.cortex.mutable.delete("writes", "dead")).deleted).toBe(false);
    await expect(
      s.cortex.mutable.set("writes", "dead", 1, { ifRevision: before?.revision }),
    ).toFailWith("REVISION_MISMATCH", { current_revision: "0" });
    const record = await s.cortex.mutable.set("writes", "dead", 1, { ifAbsent: true });
    expect(record).toMatchObject({ value: 1, metadata: {}, accessCount: 0 });
    expect(record.userId).toBeUndefined();
    expect(record.expiresAt).toBeUndefined();
    expect(record.createdAt).toEqual(record.updatedAt);
    expect((await s.cortex.mutable.getRecord("writes", "dead"))?.accessCount).toBe(0);
  });

  it.each([
    [
      "increment",
      () => s.cortex.mutable.increment("revived", "dead", 3, { createIfMissing: true }),
      3,
    ],
    ["append", () => s.cortex.mutable.append("revived", "list", 2, { createIfMissing: true }), [2]],
    [
      "merge",
      () => s.cortex.mutable.merge("revived", "dead", { a: 1 }, { createIfMissing: true }),
      { a: 1 },
    ],
    [
      "update",
      () => s.cortex.mutable.update("revived", "dead", (n) => [n], { createIfMissing: true }),
      [null],
    ],
    ["setMany", async () => (await s.cortex.mutable.setMany("revived", { dead: 7 }))[0], 7],
  ])("is created anew by %s", async (_, write, value) => {
    await seed("revived");
    const record = await write();
    expect(record).toMatchObject({
      value,
      metadata: {},
      accessCount: 0,
      createdAt: record?.updatedAt,
    });
    expect(record?.userId).toBeUndefined();
    expect(record?.expiresAt).toBeUndefined();
  });

  it("is not purged a second time", async () => {
    await seed("purged");
    expect(
      await s.cortex.mutable.purgeMany("purged", { keyPrefix: "d" }, { dryRun: true }),
    ).toMatchObject({ deleted: 0 });
    expect(await s.cortex.mutable.purgeNamespace("purged")).toMatchObject({
      deleted: 1,
      keys: ["alive"],
    });
  });

  it("expires by the database's clock when its time has come", async () => {
    const { expiresAt, createdAt } = await s.cortex.mutable.set("clock", "k", 1, {
      ttlSeconds: 0.3,
    });
    expect((expiresAt?.getTime() ?? 0) - createdAt.getTime()).toBe(300);
    expect(await s.cortex.mutable.get("clock", "k")).toBe(1);
    while ((await s.cortex.mutable.get("clock", "k")) !== null) await pause(20);
    const [clock] = await s.sql`select clock_timestamp() as now`;
    expect(clock?.now.getTime()).toBeGreaterThanOrEqual(expiresAt?.getTime() ?? 0);
  });

  it("a set without ttl ends an earlier one; an update keeps it", async () => {
    const { expiresAt } = await s.cortex.mutable.set("kept", "k", 1, { ttlSeconds: 60 });
    expect((await s.cortex.mutable.increment("kept", "k")).expiresAt).toEqual(expiresAt);
    expect(
      (await s.cortex.mutable.increment("kept", "k", 1, { createIfMissing: true })).expiresAt,
    ).toEqual(expiresAt);
    expect((await s.cortex.mutable.update("kept", "k", (n) => n)).expiresAt).toEqual(expiresAt);
    expect((await s.cortex.mutable.set("kept", "k", 1)).expiresAt).toBeUndefined();
  });

  it("takes a ttl above 0 and up to 100 years", async () => {
    const max = 3_155_760_000;
    for (const ttlSeconds of [0, -1, max + 1, Number.NaN, Number.POSITIVE_INFINITY])
      await expect(s.cortex.mutable.set("bounds", "k", 1, { ttlSeconds })).toFailWith(
        "INVALID_TTL",
        { field: "ttl_seconds" },
      );
    expect(await s.cortex.mutable.exists("bounds", "k")).toBe(false);
    const { expiresAt, createdAt } = await s.cortex.mutable.set("bounds", "k", 1, {
      ttlSeconds: max,
    });
    expect((expiresAt?.getTime() ?? 0) - createdAt.getTime()).toBe(max * 1000);
  });
});

describe("the sweep", () => {
  const s = serve({ sweepSeconds: 0.1 });

  it("reclaims what has expired, in batches, and nothing else", async () => {
    await s.another();
    for (let batch = 0; batch < 3; batch++)
      await s.cortex.mutable.setMany(
        "swept",
        Array.from({ length: 1000 }, (_, i) => ({
          key: `${batch}:${i}`,
          value: 1,
          ttlSeconds: 0.05,
        })),
      );
    await s.cortex.mutable.set("swept", "alive", 1, { ttlSeconds: 3600 });
    const left = async () =>
      (await s.sql`select key from mutable where namespace = 'swept'`).map(({ key }) => key);
    while ((await left()).length > 1) await pause(20);
    expect(await left()).toEqual(["alive"]);
  });

  it("deletes nothing while another server sweeps", async () => {
    const other = connect(s.databaseUrl, { max: 1 });
    await other`select pg_advisory_lock(0x73776570)`;
    await s.cortex.mutable.set("blocked", "k", 1, { ttlSeconds: 0.01 });
    await pause(400);
    expect(await s.sql`select from mutable where namespace = 'blocked'`).toHaveLength(1);
    await other.end();
    while ((await s.sql`select from mutable where namespace = 'blocked'`).length > 0)
      await pause(20);
  });
});
