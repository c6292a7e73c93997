import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { groupWith, idsOf, numbersOf } from "../support/streams.js";

const s = serve();

it("gives dead letters back, with their history; an ack removes one", async () => {
  const group = await groupWith(s.cortex, "a", 3, { maxDeliveries: 1 });
  const entries = await group.read("a");
  await group.nack("a", entries, { reason: "first" });
  const ids = idsOf(entries);
  expect(await group.ack("a", ids.slice(2))).toBe(1);
  const reading = group.read("a", { blockMs: 20_000 });
  expect(await group.retry("a", [...ids, "1-0"])).toBe(2);
  const again = await reading;
  expect(numbersOf(again)).toEqual([1, 1]);
  expect(await group.retry("a", ids)).toBe(0);
  await group.nack("a", again, { reason: "second" });
  const { entries: dead } = await group.deadLetters("a");
  expect(dead[0]?.history.map(({ reason }) => reason)).toEqual(["first", "second"]);
});

it("is done once under its request id", async () => {
  const group = await groupWith(s.cortex, "once", 1, { maxDeliveries: 1 });
  const entries = await group.read("once");
  await group.nack("once", entries);
  const options = { requestId: "retry-1" };
  expect(await group.retry("once", idsOf(entries), options)).toBe(1);
  expect(await group.retry("once", idsOf(entries), options)).toBe(1);
});

it("refuses what cannot be", async () => {
  const group = await groupWith(s.cortex, "bad", 0);
  const refused = (ids: unknown, code: string) =>
    expect(group.retry("bad", ids as never)).rejects.toMatchObject({ code });
  await refused([], "INVALID_BATCH");
  await refused(["x"], "INVALID_ENTRY_ID");
  await refused(
    Array.from({ length: 1001 }, () => "1-0"),
    "INVALID_BATCH",
  );
  await expect(group.retry("none", ["1-0"])).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
});
