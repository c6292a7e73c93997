import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { groupWith, idsOf } from "../support/streams.js";

const s = serve();

it("holds entries for longer, and tells which are still held", async () => {
  const group = await groupWith(s.cortex, "a", 3, { visibilitySeconds: 1 });
  const b = s.cortex.streams.group("workers", "b");
  const entries = await group.read("a");
  for (let i = 0; i < 4; i++) {
    await pause(400);
    const held = await group.extend("a", entries.slice(0, 2));
    expect(held).toEqual(entries.slice(0, 2).map(({ id, delivery }) => ({ id, delivery })));
  }
  expect(idsOf(await b.read("a"))).toEqual([entries[2]?.id]);
  await group.ack("a", entries.slice(0, 1));
  expect(await group.extend("a", entries)).toMatchObject([{ id: entries[1]?.id }]);
});

it("by two calls at once tells both that the entry is held", async () => {
  const group = await groupWith(s.cortex, "both", 1);
  const entries = await group.read("both");
  const extended = await Promise.all([1, 2, 3].map(() => group.extend("both", entries)));
  expect(extended.map((held) => held.length)).toEqual([1, 1, 1]);
});

it("refuses what cannot be", async () => {
  const group = await groupWith(s.cortex, "bad", 0);
  expect(await group.extend("bad", [])).toEqual([]);
  expect(await group.extend("bad", ["1-0"])).toEqual([]);
  await expect(group.extend("bad", ["x"])).rejects.toMatchObject({ code: "INVALID_ENTRY_ID" });
  await expect(group.extend("none", ["1-0"])).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await expect(group.extend("bad", ["1-0"], { claim: 1 } as never)).rejects.toMatchObject({
    code: "INVALID_OPTIONS",
  });
});
