import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Claim, DeliveredEntry } from "../../client/index.js";
import { connect } from "../../server/postgres/connection.js";
import { serve } from "../support/server.js";
import { groupWith, idsOf, numbersOf } from "../support/streams.js";

const s = serve();

it("gives entries back, at once or after a time, with the reason in their history", async () => {
  const group = await groupWith(s.cortex, "a", 3);
  const [one, two, three] = (await group.read("a")) as [
    DeliveredEntry,
    DeliveredEntry,
    DeliveredEntry,
  ];
  expect(await group.nack("a", [one], { reason: "no file\nat all" })).toBe(1);
  expect(await group.nack("a", [two], { delayMs: 400 })).toBe(1);
  expect(await group.nack("a", [one])).toBe(0);
  expect(await group.nack("a", [])).toBe(0);
  const b = s.cortex.streams.group("workers", "b");
  expect(idsOf(await b.read("a"))).toEqual([one.id]);
  expect(idsOf(await b.read("a", { blockMs: 20_000 }))).toEqual([two.id]);
  const { entries } = await group.pending("a");
  expect(entries[0]).toMatchObject({
    consumer: "b",
    deliveries: 2,
    history: [{ consumer: "a", end: "given back", reason: "no file\nat all" }],
  });
  expect(entries[1]?.history[0]).toEqual({
    consumer: "a",
    deliveredAt: expect.any(Date),
    end: "given back",
  });
  expect(await group.ack("a", [three])).toBe(1);
});

it("makes a dead letter of what was delivered as often as it may be", async () => {
  const group = await groupWith(s.cortex, "dead", 1, { maxDeliveries: 2 });
  for (const n of [1, 2]) {
    const entries = await group.read("dead");
    expect(numbersOf(entries)).toEqual([n]);
    expect(await group.nack("dead", entries, { reason: `failure ${n}` })).toBe(1);
  }
  expect(await group.read("dead", { blockMs: 100 })).toEqual([]);
  const { entries } = await group.deadLetters("dead");
  expect(entries).toMatchObject([
    {
      data: 1,
      consumer: "a",
      deliveries: 2,
      deadAt: expect.any(Date),
      history: [{ reason: "failure 1" }, { reason: "failure 2" }],
    },
  ]);
  expect(entries[0]?.visibleAt).toBeUndefined();
  expect((await group.pending("dead")).entries).toEqual([]);
});

it("does not count a delivery that the consumer has not looked at", async () => {
  const group = await groupWith(s.cortex, "unseen", 1, { maxDeliveries: 1 });
  for (let n = 0; n < 3; n++) {
    const entries = await group.read("unseen");
    expect(numbersOf(entries)).toEqual([1]);
    expect(await group.nack("unseen", entries, { uncounted: true })).toBe(1);
  }
  const [entry] = (await group.pending("unseen")).entries;
  expect(entry).toMatchObject({ deliveries: 0, history: [] });
});

it("holds up no append while it waits for an entry that is locked", async () => {
  const group = await groupWith(s.cortex, "waits", 1);
  const entries = await group.read("waits");
  const other = connect(s.databaseUrl, { max: 1 });
  let isDone = false;
  await other.begin(async (tx) => {
    await tx`select from stream_pending for update`;
    void group.nack("waits", entries).then(() => {
      isDone = true;
    });
    await pause(200);
    await s.cortex.streams.append("waits", 2, { timeoutMs: 3000 });
    expect(isDone).toBe(false);
  });
  await expect.poll(() => isDone).toBe(true);
  await other.end();
});

it("keeps the last 20 deliveries of the history", async () => {
  const group = await groupWith(s.cortex, "long", 1);
  for (let n = 1; n <= 25; n++)
    await group.nack("long", await group.read("long"), { reason: `${n}` });
  const [entry] = (await group.pending("long")).entries;
  expect(entry?.history.map(({ reason }) => reason)).toEqual(
    Array.from({ length: 20 }, (_, i) => `${i + 6}`),
  );
});

it("counts 0 for an entry that has gone to another consumer", async () => {
  const group = await groupWith(s.cortex, "gone", 1, { visibilitySeconds: 0.2 });
  const first = await group.read("gone");
  await pause(250);
  const again = await s.cortex.streams.group("workers", "b").read("gone");
  expect(await group.nack("gone", first)).toBe(0);
  expect(again).toHaveLength(1);
});

it("is done once under its request id, and only under a claim that is held", async () => {
  const group = await groupWith(s.cortex, "once", 1);
  const first = await group.read("once");
  const options = { requestId: "nack-1" };
  expect(await group.nack("once", first, options)).toBe(1);
  const second = await group.read("once");
  expect(await group.nack("once", first, options)).toBe(1); // and the second delivery goes on
  await expect(group.nack("once", second, options)).rejects.toMatchObject({
    code: "REQUEST_ID_REUSED",
  });
  const claim = (await s.cortex.claims.acquire("nacker", { ttlSeconds: 60 })) as Claim;
  await claim.release();
  await expect(group.nack("once", second, { claim })).rejects.toMatchObject({
    code: "FENCE_STALE",
  });
  expect(await group.ack("once", second)).toBe(1);
});

it("refuses what cannot be", async () => {
  const group = await groupWith(s.cortex, "bad", 0);
  const refused = (options: object, code: string) =>
    expect(group.nack("bad", ["1-0"], options)).rejects.toMatchObject({ code });
  await refused({ delayMs: -1 }, "INVALID_OPTIONS");
  await refused({ delayMs: 604_800_001 }, "INVALID_OPTIONS");
  await refused({ reason: "x".repeat(1025) }, "INVALID_OPTIONS");
  await refused({ reason: "a\0b" }, "INVALID_OPTIONS");
  await refused({ reason: 5 }, "INVALID_OPTIONS");
  await refused({ delay: 5 }, "INVALID_OPTIONS");
  await expect(group.nack("none", ["1-0"])).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  expect(await group.nack("bad", ["1-0"], { reason: "x".repeat(1024) })).toBe(0);
});
