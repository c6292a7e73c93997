import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("gives the claims that are held, by prefix, page by page", async () => {
  const { claims } = s.cortex;
  for (const name of ["job:2", "job:1", "job:3", "k", "job%"])
    await claims.acquire(name, { ttlSeconds: name === "job:2" ? 0.001 : 60 });
  const names = async (options = {}) => (await claims.list(options)).claims.map(({ name }) => name);
  expect(await names()).toEqual(["job%", "job:1", "job:3", "k"]);
  expect(await names({ prefix: "job:" })).toEqual(["job:1", "job:3"]);
  expect(await names({ prefix: "job%" })).toEqual(["job%"]);
  const first = await claims.list({ limit: 3 });
  expect(first.claims).toHaveLength(3);
  const { nextPageToken = "" } = first;
  const second = await claims.list({ limit: 3, pageToken: nextPageToken });
  expect(second.claims.map(({ name }) => name)).toEqual(["k"]);
  expect(second.nextPageToken).toBeUndefined();
  await expect(claims.list({ prefix: "" })).rejects.toMatchObject({ code: "INVALID_FILTER" });
  await expect(claims.list({ limit: 0 })).rejects.toMatchObject({ code: "INVALID_LIMIT" });
  await expect(claims.list({ prefix: "j", pageToken: nextPageToken })).rejects.toMatchObject({
    code: "INVALID_PAGE_TOKEN",
  });
  expect(await s.client({ tenantId: "other" }).claims.list()).toEqual({ claims: [] });
});

it("with a blank as prefix gives the names that begin with it", async () => {
  const { claims } = s.client({ tenantId: "blank" });
  for (const name of [" a", "b"]) await claims.acquire(name, { ttlSeconds: 60 });
  expect((await claims.list({ prefix: " " })).claims.map(({ name }) => name)).toEqual([" a"]);
  const { nextPageToken = "" } = await claims.list({ limit: 1 });
  const other = claims.list({ prefix: " ", pageToken: nextPageToken });
  await expect(other).rejects.toMatchObject({ code: "INVALID_PAGE_TOKEN" });
});
