import { expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { serve } from "../support/server.js";
import { dataOf, fill, groupWith } from "../support/streams.js";

const s = serve();
const all = async (stream: string) => dataOf((await s.cortex.streams.range(stream)).entries);

it("deletes the oldest beyond a length, an age, an id", async () => {
  const { streams } = s.cortex;
  const ids = await fill(s.cortex, "a", 10);
  expect(await streams.trim("a", { maxLen: 8 })).toBe(2);
  expect(await all("a")).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  expect(await streams.trim("a", { beforeId: ids[4] as string })).toBe(2);
  expect(await all("a")).toEqual([5, 6, 7, 8, 9, 10]);
  expect(await streams.trim("a", { maxLen: 100 })).toBe(0);
  expect(await streams.trim("a", { maxAgeSeconds: 3600 })).toBe(0);
  expect(await streams.trim("a", { maxLen: 5, beforeId: ids[7] as string })).toBe(3);
  expect(await all("a")).toEqual([8, 9, 10]);
  expect(await streams.info("a")).toMatchObject({ length: 3, bytes: 4 });
  await streams.append("old", 1, { id: "1-0" });
  await streams.append("old", 2);
  expect(await streams.trim("old", { maxAgeSeconds: 60 })).toBe(1);
  expect(await streams.trim("a", { maxLen: 0 })).toBe(3);
  expect(await streams.info("a")).toMatchObject({ length: 0, bytes: 0, lastId: ids[9] });
  expect(await streams.trim("nothing", { maxLen: 0 })).toBe(0);
});

it("keeps what groups have pending or as dead letters, unless it is told not to", async () => {
  const { streams } = s.cortex;
  const group = await groupWith(s.cortex, "held", 6, { maxDeliveries: 1 });
  const [first] = await group.read("held", { count: 3 });
  await group.nack("held", [first as never]);
  await group.ack("held", (await group.pending("held")).entries.slice(0, 1));
  expect(await streams.trim("held", { maxLen: 0 })).toBe(4);
  expect(await all("held")).toEqual([1, 3]);
  expect(await streams.trim("held", { maxLen: 1 })).toBe(0);
  expect(await streams.trim("held", { maxLen: 1, includePending: true })).toBe(1);
  expect(await group.info("held")).toMatchObject({ pending: 1, deadLetters: 0 });
  expect(await streams.trim("held", { maxLen: 0, includePending: true })).toBe(1);
  expect(await group.info("held")).toMatchObject({ pending: 0, deadLetters: 0, lag: 0 });
});

it("goes through a long stream in steps, around what is pending, and is recorded", async () => {
  const { streams } = s.cortex;
  const group = await groupWith(s.cortex, "long", 0);
  for (let i = 0; i < 13; i++) await fill(s.cortex, "long", 1000);
  const held = await group.read("long", { count: 1000 });
  expect(await streams.trim("long", { maxLen: 500 })).toBe(11_500);
  expect(await streams.info("long")).toMatchObject({ length: 1500 });
  expect(await group.ack("long", held)).toBe(1000);
  expect(await streams.trim("long", { maxLen: 500, beforeId: held[10]?.id })).toBe(1000);
  const records = await s.client().immutable.list({ type: "$cortex/audit", limit: 1000 });
  const trims = records.records.filter(({ data }) => data.action === "Streams.Trim");
  const deleted = trims
    .filter(({ data }) => data.asked.stream === "long")
    .map(({ data }) => data.deleted.entries);
  expect(deleted.reduce((sum: number, n: number) => sum + n, 0)).toBe(12_500);
}, 60_000);

it("deletes nothing newer in place of what is pending", async () => {
  const { streams } = s.cortex;
  const group = await groupWith(s.cortex, "held", 15);
  await group.read("held", { count: 10 });
  expect(await streams.trim("held", { maxLen: 10 })).toBe(0);
  expect(await streams.trim("held", { maxLen: 2 })).toBe(3);
  expect(dataOf(await group.read("held", { count: 100 }))).toEqual([14, 15]);
});

it("is done once under its request id, and only under a claim that is held", async () => {
  const { claims, streams } = s.cortex;
  await fill(s.cortex, "once", 5);
  const options = { maxLen: 3, requestId: "trim-1" };
  expect(await streams.trim("once", options)).toBe(2);
  await fill(s.cortex, "once", 5);
  expect(await streams.trim("once", options)).toBe(2);
  expect(await streams.info("once")).toMatchObject({ length: 8 });
  await expect(streams.trim("once", { ...options, maxLen: 2 })).rejects.toMatchObject({
    code: "REQUEST_ID_REUSED",
  });
  const claim = (await claims.acquire("trimmer", { ttlSeconds: 60 })) as Claim;
  expect(await claim.streams.trim("once", { maxLen: 7 })).toBe(1);
  await claim.release();
  await expect(claim.streams.trim("once", { maxLen: 1 })).rejects.toMatchObject({
    code: "FENCE_STALE",
  });
});

it("refuses what cannot be", async () => {
  const { streams } = s.cortex;
  const refused = (options: object, code: string) =>
    expect(streams.trim("a", options)).rejects.toMatchObject({ code });
  await refused({}, "INVALID_OPTIONS");
  await refused({ includePending: true }, "INVALID_OPTIONS");
  await refused({ maxLen: -1 }, "INVALID_LIMIT");
  await refused({ maxLen: "1" }, "INVALID_LIMIT");
  await refused({ maxAgeSeconds: -1 }, "INVALID_TTL");
  await refused({ beforeId: "x" }, "INVALID_ENTRY_ID");
  await refused({ minId: "1-0" }, "INVALID_OPTIONS");
  await expect(streams.trim("", { maxLen: 1 })).rejects.toMatchObject({ code: "INVALID_STREAM" });
});
