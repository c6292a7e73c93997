// Calls that wait for a lock hold up nobody who does not need that lock.
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("writes of users that wait for their rows leave the reads of everybody alone, and other users too", async () => {
  const waiting = s.client({ tenantId: "waiting" });
  const other = s.client({ tenantId: "other" });
  for (let i = 0; i < 12; i++) await waiting.users.create(`user-${i}`);
  for (const client of [waiting, other]) await client.mutable.setMany("ns", { a: 1, b: 2 });
  const holder = await s.sql.reserve();
  await holder`begin`;
  await holder`select from users where tenant = 'waiting' for update`;
  // Twelve users, each twice.
  let written = 0;
  const upserts = Array.from({ length: 24 }, (_, i) =>
    waiting.users.upsert(`user-${i % 12}`, { n: i }).then(() => written++),
  );
  await expect
    .poll(
      async () =>
        (
          await s.sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        ).length,
    )
    .toBeGreaterThan(0);
  await pause(200);
  for (const client of [waiting, other]) {
    const quick = { timeoutMs: 5000 };
    expect(await client.mutable.exists("ns", "a", quick)).toBe(true);
    expect((await client.mutable.getRecord("ns", "a", quick))?.value).toBe(1);
    expect(await client.mutable.getMany("ns", ["a", "b"], quick)).toMatchObject([1, 2]);
    expect(await client.immutable.get("t", "i", quick)).toBeNull();
    expect(await client.users.get("nobody", quick)).toBeNull();
    await client.mutable.set("ns", "c", 3, quick);
  }
  expect((await other.users.upsert("other", {}, { timeoutMs: 5000 })).id).toBe("other");
  expect(written).toBe(0);
  await holder`rollback`;
  holder.release();
  await Promise.all(upserts);
});

it("small merges into large values hold up no other calls", async () => {
  const merging = s.client({ tenantId: "merging", timeoutMs: 60_000 });
  const other = s.client({ tenantId: "other" });
  const keys = Array.from({ length: 12 }, (_, i) => `large-${i}`);
  for (const key of keys) await merging.mutable.set("ns", key, { text: "x".repeat(900_000) });
  const appends = s.client({ tenantId: "appending", timeoutMs: 60_000 });
  await appends.mutable.set("ns", "list", Array(200_000).fill(1));
  const merges = keys.map((key, n) => merging.mutable.merge("ns", key, { n }));
  merges.push(appends.mutable.append("ns", "list", 2));
  let done = 0;
  for (const merge of merges) void merge.then(() => done++);
  for (let i = 0; i < 20; i++) await other.mutable.set("ns", `small-${i}`, i, { timeoutMs: 2000 });
  expect(done).toBeLessThan(keys.length);
  const merged = await Promise.all(merges);
  expect(merged.slice(0, 12).map(({ value }) => (value as { n: number }).n)).toEqual([
    ...keys.keys(),
  ]);
});
