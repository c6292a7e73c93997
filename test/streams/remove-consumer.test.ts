import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { groupWith, numbersOf } from "../support/streams.js";

const s = serve();

it("gives back what the consumer holds, and wakes a reader", async () => {
  const a = await groupWith(s.cortex, "a", 3);
  const b = s.cortex.streams.group("workers", "b");
  const held = await a.read("a");
  const reading = b.read("a", { blockMs: 20_000 });
  expect(await b.removeConsumer("a", "a")).toBe(3);
  expect(numbersOf(await reading)).toEqual([2, 2, 2]);
  expect(await a.ack("a", held)).toBe(0);
  expect(await a.removeConsumer("a")).toBe(0);
  const { entries } = await b.pending("a");
  expect(entries[0]?.history).toMatchObject([{ consumer: "a", end: "consumer removed" }]);
});

it("is done once under its request id", async () => {
  const a = await groupWith(s.cortex, "once", 1);
  await a.read("once");
  const options = { requestId: "remove-1" };
  expect(await a.removeConsumer("once", "a", options)).toBe(1);
  await a.read("once");
  expect(await a.removeConsumer("once", "a", options)).toBe(1);
  expect(await a.info("once")).toMatchObject({ consumers: [{ name: "a", pending: 1 }] });
  await expect(a.removeConsumer("none")).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await expect(a.removeConsumer("once", "")).rejects.toMatchObject({ code: "INVALID_STREAM" });
});
