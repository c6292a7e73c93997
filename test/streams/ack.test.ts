import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Claim, DeliveredEntry } from "../../client/index.js";
import { connect } from "../../server/postgres/connection.js";
import { serve } from "../support/server.js";
import { dataOf, groupWith, idsOf } from "../support/streams.js";

const s = serve();

it("ends deliveries, once", async () => {
  const group = await groupWith(s.cortex, "a", 4);
  const entries = await group.read("a");
  expect(await group.ack("a", entries.slice(0, 2))).toBe(2);
  expect(await group.ack("a", entries)).toBe(2);
  expect(await group.ack("a", entries)).toBe(0);
  expect(await group.ack("a", ["1-1"])).toBe(0);
  expect(await group.ack("a", [])).toBe(0);
  expect(await group.info("a")).toMatchObject({ pending: 0 });
  expect((await s.cortex.streams.range("a")).entries).toHaveLength(4); // they stay in the stream
});

it("removes dead letters, named as they were listed", async () => {
  const group = await groupWith(s.cortex, "dead", 2, { maxDeliveries: 1 });
  await group.nack("dead", await group.read("dead"));
  const { entries } = await group.deadLetters("dead");
  expect(await group.ack("dead", entries)).toBe(2);
  expect((await group.deadLetters("dead")).entries).toEqual([]);
});

it("counts 0 for an entry that has gone to another consumer, or was given back", async () => {
  const a = await groupWith(s.cortex, "gone", 2, { visibilitySeconds: 0.2 });
  const b = s.cortex.streams.group("workers", "b");
  const first = await a.read("gone");
  await pause(250);
  const [again] = await b.read("gone", { count: 1 });
  expect(again?.id).toBe(first[0]?.id);
  expect(await a.ack("gone", first)).toBe(1); // the second one is still its own
  expect(await b.ack("gone", [again as never])).toBe(1);
  const group = await groupWith(s.cortex, "back", 1);
  const [entry] = await group.read("back");
  await group.nack("back", [entry as never]);
  expect(await group.ack("back", [entry as never])).toBe(0);
  expect(await group.ack("back", [entry?.id as string])).toBe(1); // whoever holds it
});

it("counts each delivery once where several calls name it", async () => {
  const group = await groupWith(s.cortex, "twice", 100);
  const another = s.client({ address: (await s.another()).address }).streams.group("workers", "a");
  const entries = await group.read("twice", { count: 100 });
  const acks = entries.flatMap((entry) => [
    group.ack("twice", [entry, entry]),
    another.ack("twice", [entry]),
  ]);
  const counts = await Promise.all(acks);
  expect(counts.reduce((sum, n) => sum + n, 0)).toBe(100);
});

it("is done once under its request id", async () => {
  const group = await groupWith(s.cortex, "once", 3);
  const [one, two] = (await group.read("once")) as [DeliveredEntry, DeliveredEntry];
  const options = { requestId: "ack-1" };
  expect(await group.ack("once", [one], options)).toBe(1);
  expect(await group.ack("once", [one], options)).toBe(1);
  await expect(group.ack("once", [two], options)).rejects.toMatchObject({
    code: "REQUEST_ID_REUSED",
  });
  const racing = Array.from({ length: 10 }, () => group.ack("once", [two], { requestId: "ack-2" }));
  expect(await Promise.all(racing)).toEqual(Array.from({ length: 10 }, () => 1));
});

it("under a claim that is not held counts for nobody", async () => {
  const group = await groupWith(s.cortex, "guarded", 2);
  const entries = await group.read("guarded");
  const claim = (await s.cortex.claims.acquire("acker", { ttlSeconds: 60 })) as Claim;
  const guarded = claim.streams.group("workers", "a");
  expect(await guarded.ack("guarded", entries.slice(0, 1))).toBe(1);
  await claim.release();
  const both = await Promise.allSettled([
    guarded.ack("guarded", entries.slice(1)),
    group.ack("guarded", entries.slice(1)),
  ]);
  expect(both[0]).toMatchObject({ reason: { code: "FENCE_STALE" } });
  expect(both[1]).toMatchObject({ value: 1 });
});

it("waits for whoever has locked the entry", async () => {
  const group = await groupWith(s.cortex, "locked", 2);
  const entries = await group.read("locked");
  const other = connect(s.databaseUrl, { max: 1 });
  let count: number | undefined;
  await other.begin(async (tx) => {
    await tx`
      select from stream_pending p where p.ms = ${entries[0]?.id.split("-")[0] as string} and p.seq = ${entries[0]?.id.split("-")[1] as string} for update`;
    void group.ack("locked", entries).then((n) => {
      count = n;
    });
    await pause(200);
    expect(count).toBeUndefined();
  });
  await expect.poll(() => count).toBe(2);
  await other.end();
});

it("beside an extension or a refused call that names the same entry ends the delivery", async () => {
  for (let n = 0; n < 5; n++) {
    const group = await groupWith(s.cortex, `beside-${n}`, 1);
    const [entry] = (await group.read(`beside-${n}`)) as [DeliveredEntry];
    const both = [group.extend(`beside-${n}`, [entry]), group.ack(`beside-${n}`, [entry])] as const;
    expect((await Promise.all(both))[1]).toBe(1);
    expect(await group.info(`beside-${n}`)).toMatchObject({ pending: 0 });
  }
  const group = await groupWith(s.cortex, "beside", 2);
  const entries = (await group.read("beside")) as [DeliveredEntry, DeliveredEntry];
  const other = connect(s.databaseUrl, { max: 1 });
  let nacked: Promise<number> | undefined;
  await other.begin(async (tx) => {
    await tx`select from stream_pending p where p.ms || '-' || p.seq = ${entries[0].id} for update`;
    nacked = group.nack("beside", entries); // has to wait, and must not keep the other from its end
    const acked = group.ack("beside", [entries[1]]);
    await pause(200);
    await tx`select 1`;
    void acked;
  });
  await nacked;
  const { entries: pending } = await group.pending("beside");
  expect(dataOf(pending)).toEqual([1]);
  await other.end();
});

it("refuses what cannot be", async () => {
  const group = await groupWith(s.cortex, "bad", 0);
  const refused = (deliveries: unknown, code: string) =>
    expect(group.ack("bad", deliveries as never)).rejects.toMatchObject({ code });
  await refused(["x"], "INVALID_ENTRY_ID");
  await refused([5], "INVALID_ENTRY_ID");
  await refused([null], "INVALID_ENTRY_ID");
  await refused([{ id: "1-0", delivery: "x" }], "INVALID_ENTRY_ID");
  await refused([{ id: "1-0", delivery: `${2n ** 63n}` }], "INVALID_ENTRY_ID");
  await refused([{ id: 5 }], "INVALID_ENTRY_ID");
  await refused("1-0", "INVALID_BATCH");
  await refused(
    Array.from({ length: 1001 }, () => "1-0"),
    "INVALID_BATCH",
  );
  await expect(group.ack("none", ["1-0"])).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await expect(group.ack("", ["1-0"])).rejects.toMatchObject({ code: "INVALID_STREAM" });
  const full = await groupWith(s.cortex, "full", 1000);
  const entries = await full.read("full", { count: 1000 });
  expect(await full.ack("full", idsOf(entries))).toBe(1000);
  const other = s.client({ tenantId: "other" }).streams.group("workers", "a");
  await expect(other.ack("full", ["1-0"])).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
});
