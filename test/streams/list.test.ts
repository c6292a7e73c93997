import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("lists streams in the order of their names, by prefix, in pages", async () => {
  const { streams } = s.cortex;
  for (const name of ["b", "a:2", "a%", "a:1", "é"]) await streams.append(name, 1);
  await s.client({ tenantId: "other" }).streams.append("a:3", 1);
  const names = async (options = {}) =>
    (await streams.list(options)).streams.map(({ name }) => name);
  expect(await names()).toEqual(["a%", "a:1", "a:2", "b", "é"]);
  expect(await names({ prefix: "a:" })).toEqual(["a:1", "a:2"]);
  expect(await names({ prefix: "a%" })).toEqual(["a%"]);
  expect(await names({ prefix: "z" })).toEqual([]);
  const first = await streams.list({ limit: 3 });
  const rest = await streams.list({ limit: 3, pageToken: first.nextPageToken });
  expect([...first.streams, ...rest.streams].map(({ name }) => name)).toEqual(await names());
  expect(rest.nextPageToken).toBeUndefined();
  expect(first.streams[0]).toMatchObject({ length: 1, bytes: 1, createdAt: expect.any(Date) });
});

it("refuses what cannot be", async () => {
  const refused = (options: object, code: string) =>
    expect(s.cortex.streams.list(options)).rejects.toMatchObject({ code });
  await refused({ prefix: "" }, "INVALID_FILTER");
  await refused({ limit: 0 }, "INVALID_LIMIT");
  await refused({ limit: 1001 }, "INVALID_LIMIT");
  await refused({ pageToken: "x" }, "INVALID_PAGE_TOKEN");
  await refused({ name: "a" }, "INVALID_OPTIONS");
});
