import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { dataOf, groupWith, idsOf } from "../support/streams.js";

const s = serve();

it("lists what is held and what was given back, in order, in pages", async () => {
  const group = await groupWith(s.cortex, "a", 6);
  const b = s.cortex.streams.group("workers", "b");
  const first = await group.read("a", { count: 3 });
  await b.read("a", { count: 2 });
  await group.nack("a", first.slice(1, 2), { delayMs: 60_000 });
  const { entries } = await group.pending("a");
  expect(dataOf(entries)).toEqual([1, 2, 3, 4, 5]);
  expect(entries.map(({ consumer }) => consumer)).toEqual(["a", "a", "a", "b", "b"]);
  expect(entries[0]).toEqual({
    id: first[0]?.id,
    data: 1,
    consumer: "a",
    delivery: first[0]?.delivery,
    deliveries: 1,
    deliveredAt: expect.any(Date),
    visibleAt: expect.any(Date),
    history: [],
  });
  expect(dataOf((await group.pending("a", { consumer: "a" })).entries)).toEqual([1, 3]);
  expect(dataOf((await group.pending("a", { consumer: "b" })).entries)).toEqual([4, 5]);
  const page = await group.pending("a", { limit: 2 });
  const rest = await group.pending("a", { limit: 3, pageToken: page.nextPageToken });
  expect(idsOf([...page.entries, ...rest.entries])).toEqual(idsOf(entries));
  expect(rest.nextPageToken).toBeUndefined();
  expect((await group.deadLetters("a")).entries).toEqual([]);
});

it("refuses what cannot be", async () => {
  const group = await groupWith(s.cortex, "bad", 0);
  const refused = (options: object, code: string) =>
    expect(group.pending("bad", options)).rejects.toMatchObject({ code });
  await refused({ consumer: "" }, "INVALID_FILTER");
  await refused({ limit: 0 }, "INVALID_LIMIT");
  await refused({ limit: 1001 }, "INVALID_LIMIT");
  await refused({ pageToken: "x" }, "INVALID_PAGE_TOKEN");
  await refused({ deadLetters: true }, "INVALID_OPTIONS");
  await expect(group.deadLetters("bad", { consumer: "a" } as never)).rejects.toMatchObject({
    code: "INVALID_OPTIONS",
  });
  await expect(group.pending("none")).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
});
