import { expect, it } from "vitest";
import { serve } from "../support/server.js";
import { dataOf, fill, idsOf } from "../support/streams.js";

const s = serve();

it("gives entries in the order of their ids, both ways, within bounds", async () => {
  const { streams } = s.cortex;
  for (const id of ["1-0", "1-1", "2-0", "3-5", "3-6"]) await streams.append("a", id, { id });
  const range = async (options = {}) => dataOf((await streams.range("a", options)).entries);
  expect(await range()).toEqual(["1-0", "1-1", "2-0", "3-5", "3-6"]);
  expect(await range({ reverse: true })).toEqual(["3-6", "3-5", "2-0", "1-1", "1-0"]);
  expect(await range({ from: "1-1", to: "3-5" })).toEqual(["1-1", "2-0", "3-5"]);
  expect(await range({ from: "1-1", to: "3-5", reverse: true })).toEqual(["3-5", "2-0", "1-1"]);
  expect(await range({ from: "1", to: "1" })).toEqual(["1-0", "1-1"]);
  expect(await range({ from: "2", to: "3" })).toEqual(["2-0", "3-5", "3-6"]);
  expect(await range({ from: "4" })).toEqual([]);
  expect(await range({ from: "3", to: "2" })).toEqual([]);
  expect(await range({ limit: 2, reverse: true })).toEqual(["3-6", "3-5"]);
  expect(await streams.range("nothing")).toEqual({ entries: [] });
});

it("gives pages, of 1 MiB at most, that go on after the last entry", async () => {
  const { streams } = s.cortex;
  const ids = await fill(s.cortex, "pages", 25);
  const scanned = [];
  for await (const entry of streams.scan("pages", { limit: 10 })) scanned.push(entry);
  expect(idsOf(scanned)).toEqual(ids);
  const reversed = [];
  for await (const entry of streams.scan("pages", { limit: 7, reverse: true, from: ids[3] }))
    reversed.push(entry);
  expect(idsOf(reversed)).toEqual(ids.slice(3).reverse());
  const { nextPageToken } = await streams.range("pages", { limit: 10 });
  await fill(s.cortex, "pages", 1);
  const rest = await streams.range("pages", { limit: 100, pageToken: nextPageToken });
  expect(rest.entries).toHaveLength(16);
  expect(rest.nextPageToken).toBeUndefined();
  for (let i = 0; i < 4; i++) await streams.append("big", "x".repeat(400_000));
  expect((await streams.range("big")).entries).toHaveLength(3);
  let count = 0;
  for await (const _ of streams.scan("big")) count++;
  expect(count).toBe(4);
});

it("refuses what cannot be", async () => {
  const { streams } = s.cortex;
  const refused = (options: object, code: string) =>
    expect(streams.range("a", options)).rejects.toMatchObject({ code });
  await refused({ from: "x" }, "INVALID_ENTRY_ID");
  await refused({ to: "1-2-3" }, "INVALID_ENTRY_ID");
  await refused({ from: 5 }, "INVALID_ENTRY_ID");
  await refused({ limit: 0 }, "INVALID_LIMIT");
  await refused({ limit: 1001 }, "INVALID_LIMIT");
  await refused({ pageToken: "x" }, "INVALID_PAGE_TOKEN");
  await refused({ start: "1" }, "INVALID_OPTIONS");
  await expect(streams.range(" ")).rejects.toMatchObject({ code: "INVALID_STREAM" });
  const { nextPageToken } = await streams.range("a", { limit: 1 });
  await refused({ pageToken: nextPageToken, reverse: true }, "INVALID_PAGE_TOKEN");
});
