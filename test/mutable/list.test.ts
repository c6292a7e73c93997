import { setTimeout as pause } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { beforeAll, describe, expect, it } from "vitest";
import type { MutableRecord } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { serve } from "../support/server.js";

const s = serve();
const keysOf = (records: MutableRecord[]) => records.map(({ key }) => key);

describe("list", () => {
  beforeAll(async () => {
    const entries = [
      "apples",
      "bananas",
      "B",
      "a%",
      "a_b",
      "aab",
      "é",
      "\u{10ffff}x",
      "\u{1f389}",
      "\uffff",
    ];
    await s.cortex.mutable.setMany(
      "sorted",
      entries.map((key) => ({ key, value: key })),
    );
  });

  it("gives records with total, limit, offset and hasMore; bytewise by key", async () => {
    const result = await s.cortex.mutable.list("sorted");
    expect(result).toMatchObject({ total: 10, limit: 100, offset: 0, hasMore: false });
    expect(result.nextPageToken).toBeUndefined();
    const bytewise = keysOf(result.records).toSorted((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    expect(keysOf(result.records)).toEqual(bytewise);
    const descending = await s.cortex.mutable.list("sorted", { sortOrder: "desc" });
    expect(keysOf(descending.records)).toEqual(bytewise.toReversed());
  });

  it("gives an empty page of an empty namespace", async () => {
    expect(await s.cortex.mutable.list("empty")).toEqual({
      records: [],
      total: 0,
      limit: 100,
      offset: 0,
      hasMore: false,
    });
  });

  it("takes keyPrefix as a prefix, not as a pattern", async () => {
    const keys = async (keyPrefix: string) =>
      keysOf((await s.cortex.mutable.list("sorted", { keyPrefix })).records);
    expect(await keys("a%")).toEqual(["a%"]);
    expect(await keys("a_")).toEqual(["a_b"]);
    expect(await keys("a")).toEqual(["a%", "a_b", "aab", "apples"]);
    expect(await keys("\u{10ffff}")).toEqual(["\u{10ffff}x"]);
    expect(await keys("\uffff")).toEqual(["\uffff"]);
    expect(await keys("zzz")).toEqual([]);
  });

  it("pages by offset and by token, without gap or repeat", async () => {
    const all = keysOf((await s.cortex.mutable.list("sorted")).records);
    const byOffset = [];
    const byToken = [];
    for (let offset = 0; offset < 12; offset += 3) {
      const page = await s.cortex.mutable.list("sorted", { limit: 3, offset });
      expect(page).toMatchObject({ total: 10, limit: 3, offset, hasMore: offset < 9 });
      byOffset.push(...keysOf(page.records));
    }
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      const page: Awaited<ReturnType<typeof s.cortex.mutable.list>> = await s.cortex.mutable.list(
        "sorted",
        { limit: 3, pageToken },
      );
      byToken.push(...keysOf(page.records));
      expect(page.hasMore).toBe(page.nextPageToken !== undefined);
      pageToken = page.nextPageToken;
    }
    expect(byOffset).toEqual(all);
    expect(byToken).toEqual(all);
  });

  it.each(["key", "updatedAt", "accessCount"] as const)(
    "pages by token in every order: %s",
    async (sortBy) => {
      for (let i = 0; i < 7; i++) {
        await s.cortex.mutable.set(`orders-${sortBy}`, `k${(i * 3) % 7}`, i);
        for (let reads = 0; reads < i % 3; reads++)
          await s.cortex.mutable.get(`orders-${sortBy}`, `k${(i * 3) % 7}`);
      }
      for (const sortOrder of ["asc", "desc"] as const) {
        const { records } = await s.cortex.mutable.list(`orders-${sortBy}`, { sortBy, sortOrder });
        const value = (r: MutableRecord) =>
          sortBy === "key" ? 0 : sortBy === "updatedAt" ? r.updatedAt.getTime() : r.accessCount;
        const sorted = records.toSorted((a, b) => value(a) - value(b) || (a.key < b.key ? -1 : 1));
        expect(keysOf(records)).toEqual(keysOf(sortOrder === "asc" ? sorted : sorted.toReversed()));
        const paged = [];
        for (let pageToken = "", more = true; more; ) {
          const page = await s.cortex.mutable.list(`orders-${sortBy}`, {
            sortBy,
            sortOrder,
            limit: 2,
            pageToken,
          });
          paged.push(...keysOf(page.records));
          more = page.hasMore;
          pageToken = page.nextPageToken ?? "";
        }
        expect(paged).toEqual(keysOf(records));
      }
    },
  );

  it("sorts by accessCount as it is at this moment", async () => {
    await s.cortex.mutable.setMany("read", { a: 1, b: 1, c: 1 });
    for (const [key, reads] of [
      ["a", 1],
      ["b", 3],
      ["c", 2],
    ] as const)
      for (let i = 0; i < reads; i++) await s.cortex.mutable.get("read", key);
    const { records } = await s.cortex.mutable.list("read", {
      sortBy: "accessCount",
      sortOrder: "desc",
    });
    expect(records.map(({ key, accessCount }) => [key, accessCount])).toEqual([
      ["b", 3],
      ["c", 2],
      ["a", 1],
    ]);
  });

  it("filters by user and by times, strictly; a time read back selects exactly its record", async () => {
    await s.cortex.users.upsert("u1");
    await s.cortex.users.upsert("u2");
    const records: MutableRecord[] = [];
    for (const [key, user] of [
      ["a", "u1"],
      ["b", "u2"],
      ["c", "u1"],
    ] as const) {
      records.push(await s.cortex.mutable.set("filtered", key, 1, user));
      await pause(3);
    }
    const [, b] = records;
    const keys = async (filters: object) =>
      keysOf((await s.cortex.mutable.list("filtered", filters)).records);
    expect(await keys({ userId: "u1" })).toEqual(["a", "c"]);
    expect(await keys({ userId: "nobody" })).toEqual([]);
    expect(await keys({ updatedAfter: b?.updatedAt })).toEqual(["c"]);
    expect(await keys({ updatedBefore: b?.updatedAt })).toEqual(["a"]);
    const around = (ms: number) => new Date((b?.updatedAt.getTime() ?? 0) + ms);
    expect(await keys({ updatedAfter: around(-1), updatedBefore: around(1) })).toEqual(["b"]);
    expect(await keys({ updatedAfter: around(1), updatedBefore: around(-1) })).toEqual([]);
    expect(await keys({ userId: "u1", updatedAfter: b?.updatedAt, keyPrefix: "c" })).toEqual(["c"]);
  });

  it("filters by lastAccessedBefore; a key never read counts from its creation", async () => {
    await s.cortex.mutable.setMany("idle", { read: 1, unread: 1 });
    await pause(5);
    await s.cortex.mutable.get("idle", "read");
    const read = (await s.cortex.mutable.getRecord("idle", "read"))?.lastAccessed as Date;
    expect(
      keysOf((await s.cortex.mutable.list("idle", { lastAccessedBefore: read })).records),
    ).toEqual(["unread"]);
    const after = new Date(read.getTime() + 1);
    expect(
      keysOf((await s.cortex.mutable.list("idle", { lastAccessedBefore: after })).records),
    ).toEqual(["read", "unread"]);
    expect(await s.cortex.mutable.count("idle", { lastAccessedBefore: read })).toBe(1);
  });

  it("leaves the total out where it is not asked for", async () => {
    const result = await s.cortex.mutable.list("sorted", { total: false, limit: 2 });
    expect(result).not.toHaveProperty("total");
    expect(result.hasMore).toBe(true);
  });

  it("carries values that do not fit one message, in order", async () => {
    const big = "x".repeat(700_000);
    for (let i = 0; i < 6; i++) await s.cortex.mutable.set("large", `k${i}`, `${i}${big}`);
    const page = await s.cortex.mutable.list("large", { limit: 5 });
    expect(page).toMatchObject({ total: 6, hasMore: true });
    expect(page.records.map(({ value }) => value[0])).toEqual(["0", "1", "2", "3", "4"]);
    const rest = await s.cortex.mutable.list("large", { offset: 2 });
    expect(rest.records.map(({ value }) => value[0])).toEqual(["2", "3", "4", "5"]);
    expect(rest.hasMore).toBe(false);
  });

  it("counts metadata in the size of its messages", async () => {
    const metadata = { text: "x".repeat(60_000) };
    for (let i = 0; i < 60; i++) await s.cortex.mutable.set("heavy", `k${i + 10}`, i, { metadata });
    const sizes: number[] = [];
    const client = new Client(s.address, credentials.createInsecure());
    const { list } = MutableStore.method;
    const request = Buffer.from(toBinary(list.input, create(list.input, { namespace: "heavy" })));
    const same = (bytes: Buffer) => bytes;
    const path = `/${MutableStore.typeName}/List`;
    const stream = client.makeServerStreamRequest(path, same, same, request, new Metadata());
    for await (const message of stream) sizes.push(message.length);
    client.close();
    expect(sizes.length).toBeGreaterThan(3);
    expect(Math.max(...sizes)).toBeLessThan(1.2 * 1024 * 1024);
    expect((await s.cortex.mutable.list("heavy")).records.map(({ value }) => value)).toEqual(
      Array.from({ length: 60 }, (_, i) => i),
    );
  });

  it("takes a limit of 1 and of 1000, and refuses 0, -1 and 1001", async () => {
    await s.cortex.mutable.setMany(
      "thousand",
      Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, value: i })),
    );
    await s.cortex.mutable.set("thousand", "one-more", 1);
    const { records, hasMore } = await s.cortex.mutable.list("thousand", { limit: 1000 });
    expect([records.length, hasMore]).toEqual([1000, true]);
    expect((await s.cortex.mutable.list("thousand", { limit: 1 })).records).toHaveLength(1);
    for (const limit of [0, -1, 1001, 1.5, Number.NaN])
      await expect(s.cortex.mutable.list("thousand", { limit })).toFailWith("INVALID_LIMIT", {
        field: "limit",
      });
  });

  it("refuses bad offsets, sorts, filters and tokens, and a token of another query", async () => {
    const { list } = s.cortex.mutable;
    const call = (filters: object, namespace = "sorted") =>
      list.call(s.cortex.mutable, namespace, filters);
    await expect(call({ offset: -1 })).toFailWith("INVALID_OFFSET");
    await expect(call({ sortBy: "value" })).toFailWith("INVALID_SORT");
    await expect(call({ sortOrder: "up" })).toFailWith("INVALID_SORT");
    await expect(call({ sortBy: "toString" })).toFailWith("INVALID_SORT");
    await expect(call({ keyPrefix: "" })).toFailWith("INVALID_FILTER");
    await expect(call({ userId: "" })).toFailWith("INVALID_FILTER");
    await expect(call({ keyprefix: "a" })).toFailWith("INVALID_FILTER", { field: "keyprefix" });
    await expect(call({ updatedAfter: new Date(Number.NaN) })).toFailWith("INVALID_FILTER");
    await expect(call({ updatedAfter: "2025-01-01" })).toFailWith("INVALID_FILTER");
    await expect(call({ updatedAfter: new Date(8.64e15) })).toFailWith("INVALID_FILTER");
    for (const pageToken of ["x", "bm90IGpzb24", Buffer.from('["a"]').toString("base64url")])
      await expect(call({ pageToken })).toFailWith("INVALID_PAGE_TOKEN");
    const pageToken = (await call({ limit: 1 })).nextPageToken;
    await expect(call({ pageToken, offset: 1 })).toFailWith("INVALID_OFFSET");
    await expect(call({ pageToken, keyPrefix: "a" })).toFailWith("INVALID_PAGE_TOKEN");
    await expect(call({ pageToken, sortOrder: "desc" })).toFailWith("INVALID_PAGE_TOKEN");
    await expect(call({ pageToken }, "other")).toFailWith("INVALID_PAGE_TOKEN");
    expect((await call({ pageToken, limit: 7 })).records).toHaveLength(7);
  });

  it("refuses a forged position instead of failing in the database", async () => {
    const filters = { sortBy: "updatedAt", limit: 1 } as const;
    const { nextPageToken = "" } = await s.cortex.mutable.list("sorted", filters);
    const [hash, , key] = JSON.parse(Buffer.from(nextPageToken, "base64url").toString());
    for (const position of ["", "x", "-1", "9".repeat(16), "9".repeat(30)]) {
      const pageToken = Buffer.from(JSON.stringify([hash, position, key])).toString("base64url");
      await expect(s.cortex.mutable.list("sorted", { ...filters, pageToken })).toFailWith(
        "INVALID_PAGE_TOKEN",
      );
    }
  });
});

describe("scan", () => {
  it("gives everything once, page by page", async () => {
    const entries = Array.from({ length: 2500 }, (_, i) => ({
      key: `k${String(i).padStart(5, "0")}`,
      value: i,
    }));
    for (let i = 0; i < 2500; i += 1000)
      await s.cortex.mutable.setMany("scanned", entries.slice(i, i + 1000));
    const seen: number[] = [];
    for await (const { value } of s.cortex.mutable.scan<number>("scanned")) seen.push(value);
    expect(seen).toEqual(entries.map(({ value }) => value));
    const prefixed: string[] = [];
    for await (const { key } of s.cortex.mutable.scan("scanned", {
      keyPrefix: "k0001",
      sortOrder: "desc",
    }))
      prefixed.push(key);
    expect(prefixed).toEqual(
      entries
        .slice(10, 20)
        .map(({ key }) => key)
        .toReversed(),
    );
  });

  it("stops when its reader stops, takes no page options, and ends at an abort", async () => {
    for await (const { key } of s.cortex.mutable.scan("scanned")) {
      expect(key).toBe("k00000");
      break;
    }
    await expect(s.cortex.mutable.scan("scanned", { limit: 5 } as object).next()).toFailWith(
      "INVALID_FILTER",
    );
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of s.cortex.mutable.scan("scanned", {}, { signal: controller.signal }))
        controller.abort();
    })();
    await expect(reading).toFailWith("CANCELLED");
  });
});
