import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { dataOf, groupWith, idsOf } from "../support/streams.js";

const s = serve();

it("takes entries that were held for long, and only those", async () => {
  const a = await groupWith(s.cortex, "a", 4);
  const b = s.cortex.streams.group("workers", "b");
  const old = await a.read("a", { count: 3 });
  await pause(300);
  await a.read("a", { count: 1 });
  expect(await b.takeOver("a", { minIdleMs: 60_000 })).toEqual([]);
  const taken = await b.takeOver("a", { minIdleMs: 250, count: 2 });
  expect(taken).toMatchObject([
    { data: 1, deliveries: 2 },
    { data: 2, deliveries: 2 },
  ]);
  expect(await a.ack("a", old)).toBe(1); // the third
  expect(await b.ack("a", taken)).toBe(2);
  const [last] = await b.takeOver("a", { minIdleMs: 0, ids: idsOf(old) });
  expect(last).toBeUndefined();
  expect(dataOf(await b.takeOver("a", { minIdleMs: 0 }))).toEqual([4]);
  const { entries } = await b.pending("a");
  expect(entries[0]?.history).toMatchObject([{ consumer: "a", end: "taken over" }]);
});

it("leaves what was given back, and makes dead letters of what was delivered too often", async () => {
  const a = await groupWith(s.cortex, "dead", 2, { maxDeliveries: 1 });
  const b = s.cortex.streams.group("workers", "b");
  await a.read("dead");
  expect(await b.takeOver("dead", { minIdleMs: 0 })).toEqual([]);
  expect(dataOf((await b.deadLetters("dead")).entries)).toEqual([1, 2]);
  const c = await groupWith(s.cortex, "delayed", 1);
  await c.nack("delayed", await c.read("delayed"), { delayMs: 60_000 });
  expect(await b.takeOver("delayed", { minIdleMs: 0 })).toEqual([]);
});

it("takes those that are named, each once, in their order", async () => {
  const a = await groupWith(s.cortex, "named", 6);
  const b = s.cortex.streams.group("workers", "b");
  const ids = idsOf(await a.read("named", { count: 5 })) as [string, ...string[]];
  const named = [ids[3], ids[1], ids[3], "1-0", ids[0]] as string[];
  expect(dataOf(await b.takeOver("named", { minIdleMs: 60_000, ids: named }))).toEqual([]);
  expect(dataOf(await b.takeOver("named", { minIdleMs: 0, ids: named, count: 2 }))).toEqual([1, 2]);
  expect(dataOf(await b.takeOver("named", { minIdleMs: 0, ids: named }))).toEqual([1, 2, 4]);
});

it("is done once under its request id", async () => {
  const a = await groupWith(s.cortex, "once", 3);
  const b = s.cortex.streams.group("workers", "b");
  await a.read("once");
  const options = { minIdleMs: 0, count: 2, requestId: "take-1" };
  const taken = await b.takeOver("once", options);
  expect(taken).toHaveLength(2);
  expect(await b.takeOver("once", options)).toEqual(taken);
});

it("refuses what cannot be", async () => {
  const group = await groupWith(s.cortex, "bad", 0);
  const refused = (options: object, code: string) =>
    expect(group.takeOver("bad", options as never)).rejects.toMatchObject({ code });
  await refused({}, "INVALID_OPTIONS");
  await refused({ minIdleMs: -1 }, "INVALID_OPTIONS");
  await refused({ minIdleMs: 0, count: 0 }, "INVALID_LIMIT");
  await refused({ minIdleMs: 0, ids: ["x"] }, "INVALID_ENTRY_ID");
  await refused({ minIdleMs: 0, ids: "1-0" }, "INVALID_BATCH");
  await expect(group.takeOver("none", { minIdleMs: 0 })).rejects.toMatchObject({
    code: "GROUP_NOT_FOUND",
  });
});

it("gives nothing where there is nothing but unread entries", async () => {
  const group = await groupWith(s.cortex, "unread", 3);
  expect(await group.takeOver("unread", { minIdleMs: 0 })).toEqual([]);
  expect(await group.info("unread")).toMatchObject({ lag: 3, pending: 0 });
});
