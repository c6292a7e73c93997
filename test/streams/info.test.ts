import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { fill, groupWith } from "../support/streams.js";

const s = serve();

it("describes a stream and its groups", async () => {
  const { streams } = s.cortex;
  expect(await streams.info("a")).toBeNull();
  await streams.group("empty", "c").ensure("a");
  const { createdAt } = (await streams.info("a")) as { createdAt: Date };
  expect(await streams.info("a")).toEqual({
    name: "a",
    length: 0,
    bytes: 0,
    createdAt,
    groups: [
      { name: "empty", lag: 0, pending: 0, deadLetters: 0, visibilitySeconds: 60, consumers: [] },
    ],
  });
  const group = await groupWith(s.cortex, "a", 5, { visibilitySeconds: 30, maxDeliveries: 1 });
  const read = await group.read("a", { count: 3 });
  await group.nack("a", read.slice(0, 1));
  await streams.group("workers", "b").read("a", { count: 1 });
  const info = await streams.info("a");
  expect(info).toMatchObject({ length: 5, bytes: 5, firstId: read[0]?.id });
  expect(info?.groups[1]).toEqual({
    name: "workers",
    lastDeliveredId: expect.any(String),
    lag: 1,
    pending: 3,
    deadLetters: 1,
    visibilitySeconds: 30,
    maxDeliveries: 1,
    consumers: [],
  });
  expect((await group.info("a")).consumers).toEqual([
    { name: "a", pending: 2, lastDeliveredAt: expect.any(Date) },
    { name: "b", pending: 1, lastDeliveredAt: expect.any(Date) },
  ]);
});

it("counts what a group has not delivered up to 10 000", async () => {
  await s.cortex.streams.group("g", "c").ensure("far");
  for (let i = 0; i < 11; i++) await fill(s.cortex, "far", 1000);
  expect((await s.cortex.streams.info("far"))?.groups[0]).toMatchObject({ lag: 10_000 });
});

it("refuses what cannot be", async () => {
  const group = s.cortex.streams.group("nobody", "c");
  await expect(group.info("a")).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await expect(group.info("nothing")).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await expect(s.cortex.streams.info("")).rejects.toMatchObject({ code: "INVALID_STREAM" });
});
