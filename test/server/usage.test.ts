// Tests the sums that the database keeps instead of counting rows. Besides, every test file ends with the check
// that its sums are those of the rows (support/server.ts).
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Cortex } from "../../client/index.js";
import {
  type ListNamespacesResponse,
  MutableStore,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Running } from "../../server/start.js";
import { firstCount } from "../../server/storage/usage/first-count.js";
import { keepExpired } from "../support/keep-expired.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { wrongSums } from "../support/usage.js";

describe("sums", () => {
  const s = serve({});
  keepExpired(s);

  it("are those of the rows at every moment, while two servers write, delete, roll back and fold", async () => {
    const second = await s.another();
    const clients = [s.address, second.address].flatMap((address) =>
      ["one", "two"].map((tenantId) => s.client({ address, tenantId })),
    );
    let isOver = false;
    const writers = clients.flatMap((cortex, i) => [
      write(cortex, i),
      write(cortex, i + 10),
      transact(cortex),
    ]);
    const written = Promise.all(writers).finally(() => {
      isOver = true;
    });
    while (!isOver) expect(await wrongSums(s.sql)).toEqual([]);
    await written;
    for (const cortex of clients.slice(0, 2)) {
      const entries = await cortex.mutable.list("n", { limit: 1000 });
      expect(entries.total).toBe(entries.records.length);
      expect(await cortex.mutable.count("n")).toBe(entries.records.length);
      const records = await cortex.immutable.list({ type: "t", limit: 1000 });
      expect(records.total).toBe(records.records.length);
      expect(await cortex.immutable.count({ type: "t" })).toBe(records.records.length);
    }
  });

  async function write({ mutable, immutable, users }: Cortex, seed: number) {
    const user = `user-${seed}`;
    for (let i = 0; i < 20; i++) {
      const key = `k${(i * seed) % 7}`;
      const id = `r${(i * seed) % 5}`;
      await users.upsert(user, { text: "x".repeat(i) });
      await mutable.set("n", key, "x".repeat(i), { metadata: { i }, userId: user });
      await mutable.setMany("m", { [key]: i, [`${key}-${seed}`]: i });
      await immutable.store({ type: "t", id, data: { i }, userId: user, metadata: { i } });
      await immutable.store({ type: "t", id, data: { text: "x".repeat(i) } });
      if (i % 5 === 0) await mutable.delete("n", key);
      if (i % 7 === 0) await immutable.purgeVersions("t", id, { keepLatest: 1 });
      if (i % 9 === 0) await mutable.purgeNamespace("m");
      if (i % 11 === 0) await immutable.purge("t", id);
      if (i % 13 === 0) await users.delete(user, { cascade: true });
    }
  }

  async function transact({ mutable }: Cortex) {
    for (let i = 0; i < 8; i++)
      await mutable
        .transaction(async (tx) => {
          await tx.set("n", `tx${i}`, i);
          await tx.store({ type: "t", id: `tx${i}`, data: {} });
          if (i % 3 === 0) throw new Error("rolled back");
        })
        .catch(() => {});
  }

  it("leave out what has expired and is not swept yet, also in a list of namespaces by pages", async () => {
    const cortex = s.client({ tenantId: "expiry" });
    const { mutable } = cortex;
    const names = Array.from({ length: 30 }, (_, i) => `n${String(i).padStart(2, "0")}`);
    const [live, expires, deleted] = [
      [names[0], names[29]],
      names.slice(1, 15),
      names.slice(15, 29),
    ];
    for (const name of names) await mutable.set(name, "k", 1, { metadata: { m: 1 } });
    for (const name of expires) await mutable.set(name, "k", "text", { ttlSeconds: 1 });
    await mutable.set("n00", "gone", 1, { ttlSeconds: 1 });
    await pause(1100);
    for (const name of deleted) await mutable.delete(name, "k");
    const [rows] = await s.sql`select count(*)::int as count from mutable where tenant = 'expiry'`;
    expect(rows).toEqual({ count: 17 });

    expect(await mutable.count("n00")).toBe(1);
    for (const name of ["n01", "n15"]) {
      expect(await mutable.count(name)).toBe(0);
      expect((await mutable.list(name)).total).toBe(0);
    }
    expect(await mutable.listNamespaces()).toEqual(
      live.map((namespace) => ({ namespace, keys: 1, bytes: 1 })),
    );
    const raw = new Raw(s.address);
    const found: string[] = [];
    let pages = 0;
    for (let pageToken = ""; pages === 0 || pageToken !== ""; pages++) {
      const request = { limit: 1, pageToken };
      const headers = { "x-tenant-id": "expiry" };
      const reply = await raw.call(MutableStore.method.listNamespaces, request, headers);
      const { namespaces, nextPageToken } = reply as ListNamespacesResponse;
      found.push(...namespaces.map(({ namespace }) => namespace));
      pageToken = nextPageToken;
    }
    raw.close();
    expect(found).toEqual(live);
    expect(pages).toBe(2);
  });

  it("leave nothing of a namespace that is empty", async () => {
    const cortex = s.client({ tenantId: "emptied" });
    await cortex.mutable.set("secret-name", "k", 1);
    await until(async () => (await rowsOf("usage")) > 0);
    await cortex.mutable.delete("secret-name", "k");
    await until(async () => (await rowsOf("usage")) + (await rowsOf("usage_delta")) === 0);
  });

  const rowsOf = async (table: string) =>
    (await s.sql`select from ${s.sql(table)} where tenant = 'emptied'`).length;
});

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await pause(50);
}

describe("a quota", () => {
  const s = serve({ quotaKeys: 50 });
  keepExpired(s);

  it("is of all servers together, and what has expired makes room", async () => {
    const second = await s.another();
    const [one, two] = [s.client(), s.client({ address: second.address })];
    for (let i = 0; i < 49; i++) await one.mutable.set("n", `k${i}`, i);
    await two.mutable.set("m", "last", 1, { ttlSeconds: 1 });
    for (const { mutable } of [one, two])
      await expect(mutable.set("n", "more", 1)).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
    await pause(1100);
    await one.mutable.set("n", "more", 1);
    await expect(two.mutable.set("n", "too many", 1)).rejects.toMatchObject({
      code: "QUOTA_EXCEEDED",
    });
    await two.mutable.delete("n", "k0");
    await two.mutable.set("n", "one again", 1);
  });
});

describe("the first count on a database that had none", () => {
  const s = serve({});
  keepExpired(s);

  /** Makes the database one whose rows were written before sums were kept. */
  async function forget(): Promise<void> {
    await s.sql.begin(async (tx) => {
      await tx`lock table usage_delta`; // nothing is folded meanwhile
      await tx`delete from usage`;
      await tx`delete from usage_delta`;
      await tx`delete from migration where name like '0017%'`;
    });
  }

  it("goes on beside writers; until it is done, the rows are counted", async () => {
    await s.cortex.users.create("u", { name: "U" });
    await s.sql`
      insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
      select 't' || n % 3, 'ns-' || n % 17, 'k' || n, to_json(n), now(), now(), nextval('revision'), currval('revision')
      from generate_series(1, 60000) n`;
    const setUp = s.client({ tenantId: "t1" });
    for (let i = 0; i < 5; i++)
      await setUp.immutable.store({ type: "t", id: `r${i}`, data: { i } });
    await setUp.mutable.set("only", "k", 1);
    await forget();
    const holder = await s.sql.reserve();
    await holder`select pg_advisory_lock(${0x636f7262})`; // the first count waits for it
    const next: Running = await s.another();
    const cortex = s.client({ address: next.address, tenantId: "t1" });
    const { mutable, immutable } = cortex;

    await mutable.delete("only", "k"); // of this namespace nothing is left but a change
    const before = { count: await mutable.count("ns-1"), records: await immutable.count() };
    expect(before).toEqual({ count: await rowsOf("t1", "ns-1"), records: 5 });
    expect((await mutable.listNamespaces()).map(({ namespace }) => namespace)).toHaveLength(17);
    expect((await mutable.list("ns-1", { limit: 1 })).total).toBe(before.count);

    let isOver = false;
    const writing = Promise.all(
      Array.from({ length: 4 }, async (_, writer) => {
        for (let i = 0; !isOver; i++) {
          await mutable.set(`ns-${i % 17}`, `new-${writer}-${i}`, "x".repeat(i % 50));
          await mutable.delete(`ns-${i % 17}`, `k${i * 3 + 1}`);
          await immutable.store({ type: "t", id: `r${i % 9}`, data: { i } });
        }
      }),
    );
    await holder`select pg_advisory_unlock(${0x636f7262})`;
    holder.release();
    await until(
      async () => (await s.sql`select from migration where name like '0017%'`).length === 1,
    );
    isOver = true;
    await writing;
    expect(await wrongSums(s.sql)).toEqual([]);
    expect(await mutable.count("ns-1")).toBe(await rowsOf("t1", "ns-1"));
  });

  it("can be cut off after any step, and begins again", async () => {
    await forget();
    for (let steps = 1; steps <= 4; steps++) {
      const count = firstCount();
      for (let i = 0; i < steps; i++) await count(s.sql);
    }
    const count = firstCount();
    let steps = 0;
    for (let more = true; more; steps++) more = (await count(s.sql)).more;
    expect(steps).toBeGreaterThan(5);
    expect(await wrongSums(s.sql)).toEqual([]);
  });

  const rowsOf = async (tenant: string, namespace: string) =>
    (await s.sql`select from mutable where tenant = ${tenant} and namespace = ${namespace}`).length;
});
