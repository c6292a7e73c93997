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
    .poll(async () => (await s.sql`select from pg_locks where not granted`).length)
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
