import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { dataOf, groupWith } from "../support/streams.js";

const s = serve({ sweepSeconds: 0.2 });

it("deletes the group with what it has pending; the entries stay", async () => {
  const group = await groupWith(s.cortex, "a", 3);
  await group.read("a", { count: 2 });
  expect(await group.delete("a")).toBe(true);
  expect(await group.delete("a")).toBe(false);
  await expect(group.read("a")).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  expect((await s.cortex.streams.range("a")).entries).toHaveLength(3);
  await group.ensure("a");
  expect(dataOf(await group.read("a"))).toEqual([1, 2, 3]);
  await expect
    .poll(async () => (await s.sql`select from stream_pending`).length, { timeout: 10_000 })
    .toBe(3);
});

it("ends a read that waits", async () => {
  const group = await groupWith(s.cortex, "waited", 0);
  const reading = group.read("waited", { blockMs: 20_000 });
  const ended = expect(reading).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await pause(200);
  await group.delete("waited");
  await ended;
});

it("is done once under its request id", async () => {
  const group = await groupWith(s.cortex, "once", 0);
  const options = { requestId: "delete-group-1" };
  expect(await group.delete("once", options)).toBe(true);
  await group.ensure("once");
  expect(await group.delete("once", options)).toBe(true);
  expect(await group.info("once")).toMatchObject({ pending: 0 });
  expect(await group.delete("none")).toBe(false);
  await expect(group.delete("")).rejects.toMatchObject({ code: "INVALID_STREAM" });
});
