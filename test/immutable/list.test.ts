import { beforeAll, describe, expect, it } from "vitest";
import type { ImmutableRecord } from "../../client/index.js";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const ids = (records: ImmutableRecord[]) => records.map(({ type, id }) => `${type}/${id}`);

describe("list", () => {
  beforeAll(async () => {
    for (const id of ["1", "2", "10"])
      for (const type of ["policy", "kb-article"])
        await s.cortex.immutable.store({ type, id, data: { id }, metadata: { tags: [type, id] } });
    for (let i = 0; i < 3; i++)
      await s.cortex.immutable.store({ type: "policy", id: "1", data: { i } });
  });

  it("goes by the time of the current version, newest first, unless told otherwise", async () => {
    const byTime = [
      "kb-article/1",
      "policy/2",
      "kb-article/2",
      "policy/10",
      "kb-article/10",
      "policy/1",
    ];
    const list = async (filters = {}) => ids((await s.cortex.immutable.list(filters)).records);
    expect(await list()).toEqual(byTime.toReversed());
    expect(await list({ sortOrder: "asc" })).toEqual(byTime);
    expect(await list({ sortBy: "version" })).toEqual([
      "policy/1",
      "policy/2",
      "policy/10",
      "kb-article/2",
      "kb-article/10",
      "kb-article/1",
    ]);
    expect(await list({ sortBy: "version", sortOrder: "asc" })).toEqual([
      "kb-article/1",
      "kb-article/10",
      "kb-article/2",
      "policy/10",
      "policy/2",
      "policy/1",
    ]);
    expect(await list({ sortBy: "type", sortOrder: "asc", type: "policy" })).toEqual([
      "policy/1",
      "policy/10",
      "policy/2",
    ]);
    expect(await list({ minVersion: 2 })).toEqual(["policy/1"]);
    expect(await list({ tags: ["policy", "10"] })).toEqual(["policy/10"]);
  });

  it("pages by offset and by token, with the total", async () => {
    const all = ids((await s.cortex.immutable.list()).records);
    for (const sortBy of ["createdAt", "version", "type"] as const) {
      const whole = ids((await s.cortex.immutable.list({ sortBy })).records);
      const seen: string[] = [];
      let pageToken: string | undefined;
      do {
        const page = await s.cortex.immutable.list({ sortBy, limit: 4, pageToken });
        expect(page).toMatchObject({
          total: 6,
          limit: 4,
          hasMore: page.nextPageToken !== undefined,
        });
        seen.push(...ids(page.records));
        pageToken = page.nextPageToken;
      } while (pageToken);
      expect(seen).toEqual(whole);
    }
    const page = await s.cortex.immutable.list({ limit: 2, offset: 3 });
    expect(page).toMatchObject({ total: 6, limit: 2, offset: 3, hasMore: true });
    expect(ids(page.records)).toEqual(all.slice(3, 5));
    expect(await s.cortex.immutable.list({ offset: 10 })).toEqual({
      records: [],
      total: 6,
      limit: 50,
      offset: 10,
      hasMore: false,
    });
    expect(await s.cortex.immutable.list({ limit: 1, total: false })).not.toHaveProperty("total");
    const scanned = [];
    for await (const record of s.cortex.immutable.scan({ sortBy: "type", sortOrder: "asc" }))
      scanned.push(record);
    expect(ids(scanned)).toEqual([...all].sort());
  });

  it("gives no earlier versions unless they are asked for", async () => {
    const [plain] = (await s.cortex.immutable.list({ minVersion: 2 })).records;
    expect(plain).toMatchObject({ version: 4, previousVersions: [], hasMoreVersions: true });
    const [whole] = (await s.cortex.immutable.list({ minVersion: 2, includeHistory: true }))
      .records;
    expect(whole).toEqual(await s.cortex.immutable.get("policy", "1"));
    for await (const record of s.cortex.immutable.scan({ includeHistory: true, type: "policy" }))
      expect(record).toEqual(await s.cortex.immutable.get("policy", record.id));
  });

  it("refuses unknown and invalid filters and options", async () => {
    const list = (filters: object) => s.cortex.immutable.list(filters);
    for (const limit of [0, -1, 1001]) await expect(list({ limit })).toFailWith("INVALID_LIMIT");
    await expect(list({ offset: -1 })).toFailWith("INVALID_OFFSET");
    await expect(list({ sortBy: "id" })).toFailWith("INVALID_SORT");
    await expect(list({ sortOrder: "up" })).toFailWith("INVALID_SORT");
    await expect(list({ pageToken: "x" })).toFailWith("INVALID_PAGE_TOKEN");
    await expect(list({ keyPrefix: "x" })).toFailWith("INVALID_FILTER", { field: "keyPrefix" });
    await expect(list({ includeHistory: 1 })).toFailWith("INVALID_OPTIONS");
    const { nextPageToken = "" } = await s.cortex.immutable.list({ limit: 1 });
    for (const other of [
      { type: "policy" },
      { sortBy: "version" },
      { sortOrder: "asc" },
      { tags: ["x"] },
    ])
      await expect(list({ ...other, pageToken: nextPageToken })).toFailWith("INVALID_PAGE_TOKEN");
    await expect(list({ offset: 1, pageToken: nextPageToken })).toFailWith("INVALID_OFFSET");
    const raw = new Raw(s.address);
    for (const [request, reason] of [
      [[0x28, 9], "INVALID_SORT"],
      [[0x30, 9], "INVALID_SORT"],
    ] as const)
      expect(await raw.bytes(ImmutableStore.method.list, Buffer.from(request))).toMatchObject({
        status: 3,
        reason,
      });
    raw.close();
  });
});

it("sends large records in messages of about 1 MiB, also with their histories", async () => {
  for (let i = 0; i < 8; i++)
    for (let n = 0; n < 3; n++)
      await s.cortex.immutable.store(
        { type: "large", id: `${i}`, data: { n, t: "x".repeat(400_000) } },
        { includeHistory: false },
      );
  const { records } = await s.cortex.immutable.list({
    type: "large",
    sortBy: "type",
    includeHistory: true,
  });
  expect(ids(records)).toEqual(Array.from({ length: 8 }, (_, i) => `large/${7 - i}`));
  expect(records[0]?.previousVersions.map(({ version }) => version)).toEqual([1, 2]);
  for (const record of records)
    expect(record.hasMoreVersions).toBe(record.previousVersions.length < 2);
});
