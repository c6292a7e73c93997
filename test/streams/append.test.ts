import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { Streams } from "../../gen/cortex/streams/v1/streams_pb.js";
import { connect } from "../../server/postgres/connection.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";
import { dataOf, fill, groupWith, idsOf } from "../support/streams.js";

const s = serve();
const all = async (stream: string) =>
  (await s.cortex.streams.range(stream, { limit: 1000 })).entries;
const refused = (made: Promise<unknown>, code: string, details = {}) =>
  expect(made).rejects.toMatchObject({ code, details });

describe("an entry", () => {
  it("has an id above all before, and who appended it", async () => {
    const { streams } = s.client({ agentId: "agent-1" });
    const first = await streams.append("a", { n: 12345678901234567890n });
    const second = await streams.append("a", null);
    expect(first).toMatch(/^\d{13}-\d+$/);
    expect(await all("a")).toEqual([
      { id: first, data: { n: 12345678901234567890n }, appendedBy: "agent-1" },
      { id: second, data: null, appendedBy: "agent-1" },
    ]);
    const time = Number(first.split("-")[0]);
    expect(Math.abs(time - Date.now())).toBeLessThan(60_000);
  });

  it("has the next id also if the clock is behind the last one", async () => {
    const { streams } = s.cortex;
    const late = `${Date.now() + 1e9}-5`;
    expect(await streams.append("ahead", 1, { id: late })).toBe(late);
    const [ms] = late.split("-");
    expect(await streams.append("ahead", 2)).toBe(`${ms}-6`);
    const [third] = await fill(s.cortex, "ahead", 2);
    expect(third).toBe(`${ms}-7`);
  });

  it("may have an id of its own, above the last", async () => {
    const { streams } = s.cortex;
    await streams.append("own", 1, { id: "5-0" });
    const low = { stream: "own", last_id: "5-0" };
    await refused(streams.append("own", 2, { id: "5-0" }), "ENTRY_ID_TOO_LOW", low);
    await refused(streams.append("own", 2, { id: "4-9" }), "ENTRY_ID_TOO_LOW", low);
    const max = Number.MAX_SAFE_INTEGER;
    expect(
      await streams.appendMany("own", [
        { data: 2, id: "5-1" },
        { data: 3, id: `${max}-${max}` },
      ]),
    ).toEqual(["5-1", `${max}-${max}`]);
    for (const id of [
      "",
      "5",
      "0-0",
      "-1-1",
      "1-1-1",
      "x-1",
      "1-x",
      "1 -1",
      `${max + 1}-0`,
      `1-${max + 1}`,
    ])
      await refused(streams.append("bad", 1, { id }), "INVALID_ENTRY_ID", {
        field: "entries[0].id",
      });
    await refused(
      streams.appendMany("bad", [
        { data: 1, id: "2-0" },
        { data: 2, id: "1-0" },
      ]),
      "INVALID_ENTRY_ID",
      { field: "entries[1].id" },
    );
    await refused(
      streams.appendMany("bad", [{ data: 1, id: "2-0" }, { data: 2 }]),
      "INVALID_ENTRY_ID",
    );
    expect(await streams.info("bad")).toBeNull();
  });

  it("goes on in the next millisecond where numbers end, and ends where milliseconds end", async () => {
    const { streams } = s.cortex;
    const max = Number.MAX_SAFE_INTEGER;
    const ahead = Date.now() + 1e9;
    await streams.append("numbers", 1, { id: `${ahead}-${max}` });
    expect(await fill(s.cortex, "numbers", 2)).toEqual([`${ahead + 1}-0`, `${ahead + 1}-1`]);
    await streams.append("ended", 1, { id: `${max}-${max}` });
    await refused(streams.append("ended", 2), "ENTRY_ID_TOO_LOW", { last_id: `${max}-${max}` });
  });

  it("that cannot be is refused, and none of its call is appended", async () => {
    const { streams } = s.cortex;
    const bad = (code: string, stream: unknown, data: unknown = 1, options = {}) =>
      refused(streams.append(stream as string, data, options), code);
    await bad("INVALID_STREAM", "");
    await bad("INVALID_STREAM", " ");
    await bad("INVALID_STREAM", "x".repeat(513));
    await bad("INVALID_STREAM", "a\0b");
    await bad("INVALID_STREAM", 7);
    await bad("INVALID_VALUE", "b", () => {});
    await bad("VALUE_TOO_LARGE", "b", "x".repeat(1024 * 1024));
    await bad("VALUE_TOO_DEEP", "b", JSON.parse("[".repeat(1001) + "]".repeat(1001)));
    await bad("INVALID_USER_ID", "b", 1, { userId: "" });
    await bad("USER_NOT_FOUND", "b", 1, { userId: "nobody" });
    await bad("INVALID_LIMIT", "b", 1, { maxLen: 0 });
    await bad("INVALID_LIMIT", "b", 1, { maxLen: 1.5 });
    await bad("INVALID_TTL", "b", 1, { maxAgeSeconds: 0 });
    await bad("INVALID_TTL", "b", 1, { maxAgeSeconds: "1" });
    await bad("INVALID_OPTIONS", "b", 1, { ttl: 60 });
    await refused(
      streams.appendMany("b", [{ data: 1 }, { data: 2, userId: "nobody" }]),
      "USER_NOT_FOUND",
      { user_id: "nobody" },
    );
    const many = Array.from({ length: 1001 }, () => ({ data: 1 }));
    await refused(streams.appendMany("b", many), "INVALID_BATCH");
    expect(await streams.appendMany("b", [])).toEqual([]);
    expect(await streams.info("b")).toBeNull();
    const stream = "ä".repeat(256);
    const data = "x".repeat(1024 * 1024 - 2);
    await streams.append(stream, data);
    expect(await streams.appendMany(stream, many.slice(1))).toHaveLength(1000);
    expect(await streams.info(stream)).toMatchObject({ length: 1001, bytes: 1024 * 1024 + 1000 });
  });

  it("is appended once under its request id", async () => {
    const { streams } = s.cortex;
    const options = { requestId: "append-1" };
    const id = await streams.append("once", 1, options);
    expect(await streams.append("once", 1, options)).toBe(id);
    await refused(streams.append("once", 2, options), "REQUEST_ID_REUSED");
    await refused(streams.append("once", 1, { ...options, maxLen: 1 }), "REQUEST_ID_REUSED");
    const racing = Array.from({ length: 20 }, () =>
      streams.appendMany("once", [{ data: 2 }, { data: 3 }], { requestId: "append-2" }),
    );
    const ids = await Promise.all(racing);
    expect(new Set(ids.map(String)).size).toBe(1);
    expect(dataOf(await all("once"))).toEqual([1, 2, 3]);
    const own = { id: "9007199254740991-1", requestId: "append-3" };
    expect(await streams.append("once", 4, own)).toBe(own.id);
    expect(await streams.append("once", 4, own)).toBe(own.id); // not ENTRY_ID_TOO_LOW
  });

  it("under a claim is appended while the claim is held", async () => {
    const { claims, streams } = s.cortex;
    const claim = (await claims.acquire("appender", { ttlSeconds: 60 })) as Claim;
    await claim.streams.append("guarded", 1);
    await streams.append("guarded", 2, { claim });
    await claim.release();
    const stale = { claim: "appender", fence: claim.fence };
    await refused(claim.streams.append("guarded", 3), "FENCE_STALE", stale);
    await refused(streams.appendMany("guarded", [{ data: 3 }], { claim }), "FENCE_STALE", stale);
    expect(dataOf(await all("guarded"))).toEqual([1, 2]);
  });

  it("waits for whoever has locked the stream, and others do not", async () => {
    const { streams } = s.cortex;
    await streams.append("locked", 1);
    const other = connect(s.databaseUrl, { max: 1 });
    let appended = 0;
    await other.begin(async (tx) => {
      await tx`select from stream where name = 'locked' for update`;
      for (let n = 2; n < 22; n++) void streams.append("locked", n).then(() => appended++);
      for (let n = 0; n < 20; n++) await streams.append("free", n);
      expect(appended).toBe(0);
    });
    await expect.poll(() => appended).toBe(20);
    await other.end();
  });
});

describe("appends that come together", () => {
  it("create the stream once, and give each entry an id of its own", async () => {
    const [one, two] = [s.client(), s.client()];
    const another = s.client({ address: (await s.another()).address });
    const ids = await Promise.all(
      Array.from({ length: 300 }, (_, n) =>
        ([one, two, another][n % 3] as typeof one).streams.append("crowd", n),
      ),
    );
    expect(new Set(ids).size).toBe(300);
    const entries = await all("crowd");
    expect(entries).toHaveLength(300);
    expect(idsOf(entries).sort()).toEqual([...ids].sort());
    expect(await s.sql`select from stream where name = 'crowd'`).toHaveLength(1);
    expect(await s.cortex.streams.info("crowd")).toMatchObject({ length: 300 });
  });

  it("of one caller keep their order, and one that is refused fails no other", async () => {
    const { streams } = s.cortex;
    const made = Array.from({ length: 50 }, (_, n) =>
      streams.append("mixed", n, n % 10 === 3 ? { userId: "nobody" } : {}).catch(() => null),
    );
    const ids = await Promise.all(made);
    expect(ids.filter((id) => id === null)).toHaveLength(5);
    expect(idsOf(await all("mixed"))).toEqual(ids.filter((id) => id !== null));
  });
});

describe("with a limit, an append", () => {
  it("keeps the newest entries", async () => {
    const { streams } = s.cortex;
    for (let n = 1; n <= 5; n++) await streams.append("short", n, { maxLen: 3 });
    expect(dataOf(await all("short"))).toEqual([3, 4, 5]);
    await streams.appendMany(
      "short",
      [6, 7, 8, 9].map((data) => ({ data })),
      { maxLen: 2 },
    );
    expect(dataOf(await all("short"))).toEqual([8, 9]);
    await Promise.all(
      Array.from({ length: 100 }, (_, n) => streams.append("short", n, { maxLen: 10 })),
    );
    expect(await streams.info("short")).toMatchObject({ length: 10 });
    expect(await all("short")).toHaveLength(10);
  });

  it("that creates the stream keeps the newest of its own entries", async () => {
    const { streams } = s.cortex;
    const entries = [1, 2, 3, 4, 5].map((data) => ({ data }));
    await streams.appendMany("created", entries, { maxLen: 2 });
    expect(dataOf(await all("created"))).toEqual([4, 5]);
    expect(await streams.info("created")).toMatchObject({ length: 2, bytes: 2 });
  });

  it("deletes what is too old", async () => {
    const { streams } = s.cortex;
    await streams.append("aged", 1, { id: `${Date.now() - 100_000}-0` });
    await streams.append("aged", 2, { id: `${Date.now() - 50_000}-0` });
    await streams.append("aged", 3, { maxAgeSeconds: 70 });
    expect(dataOf(await all("aged"))).toEqual([2, 3]);
    expect(await streams.info("aged")).toMatchObject({ length: 2, bytes: 2 });
  });

  it("keeps what a group has pending", async () => {
    const { streams } = s.cortex;
    const group = await groupWith(s.cortex, "held", 4);
    await group.read("held", { count: 2 });
    await streams.append("held", 5, { maxLen: 1 });
    expect(dataOf(await all("held"))).toEqual([1, 2, 5]); // 3 and 4 were not read yet
    expect((await group.pending("held")).entries).toHaveLength(2);
  });

  it("goes past what is pending, and deletes it some seconds after that has ended", async () => {
    const { streams } = s.cortex;
    const group = await groupWith(s.cortex, "passed", 0);
    for (let i = 0; i < 3; i++) await fill(s.cortex, "passed", 1000);
    for (let i = 0; i < 3; i++) await group.read("passed", { count: 1000 });
    for (let i = 0; i < 300; i++) await streams.append("passed", i, { maxLen: 100 });
    expect((await streams.info("passed"))?.length).toBe(3100);
    const ids = (await streams.range("passed", { limit: 1000 })).entries.map(({ id }) => id);
    await group.ack("passed", ids);
    await s.sql`update stream set trim_at = trim_at - interval '11 seconds' where name = 'passed'`;
    for (let i = 0; i < 4; i++) await streams.append("passed", i, { maxLen: 100 });
    expect((await streams.range("passed", { limit: 1 })).entries[0]?.id).not.toBe(ids[0]);
    expect((await streams.info("passed"))?.length).toBe(2100);
  });

  it("deletes nothing newer in place of what is pending or a dead letter", async () => {
    const { streams } = s.cortex;
    const group = await groupWith(s.cortex, "letters", 10);
    await group.read("letters", { count: 10 });
    for (let n = 11; n <= 30; n++) await streams.append("letters", n, { maxLen: 10 });
    const newest = [21, 22, 23, 24, 25, 26, 27, 28, 29, 30];
    expect(dataOf(await all("letters"))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...newest]);
    expect(dataOf(await group.read("letters", { count: 100 }))).toEqual(newest);
  });

  it("gets through more that is pending than it looks at, however often it begins anew", async () => {
    const { streams } = s.cortex;
    const group = await groupWith(s.cortex, "beyond", 0);
    for (let i = 0; i < 4; i++) await fill(s.cortex, "beyond", 1000);
    for (let i = 0; i < 4; i++) await group.read("beyond", { count: 1000 });
    const many = Array.from({ length: 500 }, (_, data) => ({ data }));
    for (let i = 0; i < 12; i++) {
      await streams.appendMany("beyond", many, { maxLen: 100 });
      await group.ack("beyond", await group.read("beyond", { count: 1000 }));
      await s.sql`update stream set trim_at = trim_at - interval '11 seconds' where name = 'beyond'`;
    }
    expect((await streams.info("beyond"))?.length).toBeLessThan(4000 + 2 * 500);
  });

  it("of a stream that is far too long deletes a bounded number at a time", async () => {
    const { streams } = s.cortex;
    for (let i = 0; i < 4; i++) await fill(s.cortex, "long", 1000);
    await streams.append("long", "last", { maxLen: 1 });
    const { length } = (await streams.info("long")) ?? { length: 0 };
    expect(length).toBeLessThanOrEqual(4001 - 1000);
    for (let i = 0; i < 4; i++) await streams.append("long", "last", { maxLen: 1 });
    expect(await streams.info("long")).toMatchObject({ length: 1 });
  });
});

describe("in a transaction an entry", () => {
  it("is appended exactly if the transaction is committed, with what it wrote", async () => {
    const { mutable, streams } = s.cortex;
    const { results } = await mutable.transaction([
      { op: "set", namespace: "orders", key: "1", value: "new" },
      { op: "appendEntry", stream: "orders", data: { id: 1 } },
      { op: "appendEntry", stream: "audit", data: "one", id: "7-7" },
      { op: "appendEntry", stream: "orders", data: { id: 2 } },
      { op: "publish", channel: "order:new", data: 1 },
    ]);
    const entries = await all("orders");
    expect(dataOf(entries)).toEqual([{ id: 1 }, { id: 2 }]);
    expect(results[1]).toEqual({ appended: [entries[0]?.id] });
    expect(results[2]).toEqual({ appended: ["7-7"] });
    expect(results[3]).toEqual({ appended: [entries[1]?.id] });
    await mutable.transaction((tx) => tx.appendEntry("orders", { id: 3 }, { maxLen: 2 }));
    expect(dataOf(await all("orders"))).toEqual([{ id: 2 }, { id: 3 }]);
    await refused(
      mutable.transaction((tx) => {
        tx.appendEntry("orders", { id: 4 });
        tx.delete("orders", "nothing");
      }),
      "TRANSACTION_FAILED",
    );
    await refused(
      mutable.transaction([
        { op: "set", namespace: "orders", key: "1", value: "late" },
        { op: "appendEntry", stream: "audit", data: "two", id: "7-7" },
      ]),
      "TRANSACTION_FAILED",
      { operationIndex: 1, reason: "ENTRY_ID_TOO_LOW" },
    );
    expect(await mutable.get("orders", "1")).toBe("new");
    expect(await streams.info("orders")).toMatchObject({ length: 2 });
  });

  it("has its ids in a repeated reply also once that was made smaller", async () => {
    const { mutable } = s.cortex;
    const operations = Array.from({ length: 3 }, (_, n) => ({
      op: "appendEntry" as const,
      stream: `slim-${n}`,
      data: "x",
    }));
    const all = [...operations, { op: "publish" as const, channel: "c", data: 1 }];
    const first = await mutable.transaction(all, { requestId: "slim" });
    await s.sql`update request set reply = slim_reply(reply) where reply::text like '%slim-2%'`;
    expect(await mutable.transaction(all, { requestId: "slim" })).toEqual(first);
  });

  it("waits for a stream that is locked without a connection that others need", async () => {
    const { mutable, streams } = s.cortex;
    await streams.append("blocked", 0);
    const other = connect(s.databaseUrl, { max: 1 });
    let committed = 0;
    await other.begin(async (tx) => {
      await tx`select from stream where name = 'blocked' for update`;
      for (let n = 0; n < 40; n++)
        void mutable.transaction((tx) => tx.appendEntry("blocked", n)).then(() => committed++);
      await pause(200);
      await mutable.transaction((tx) => tx.appendEntry("open", 1), { timeoutMs: 3000 });
      expect(committed).toBe(0);
    });
    await expect.poll(() => committed, { timeout: 20_000 }).toBe(40);
    await other.end();
  });

  it("is appended once, however often the commit is repeated", async () => {
    const { mutable } = s.cortex;
    const operations = [{ op: "appendEntry" as const, stream: "repeated", data: 1 }];
    const first = await mutable.transaction(operations, { requestId: "commit-1" });
    expect(await mutable.transaction(operations, { requestId: "commit-1" })).toEqual(first);
    expect(await all("repeated")).toHaveLength(1);
    const other = [{ op: "appendEntry" as const, stream: "repeated", data: 2 }];
    await refused(mutable.transaction(other, { requestId: "commit-1" }), "REQUEST_ID_REUSED");
  });

  it("that cannot be fails the transaction, with its index", async () => {
    const { mutable } = s.cortex;
    const failed = (entry: object, reason: string, more = {}) =>
      refused(
        mutable.transaction([
          { op: "set", namespace: "n", key: "k", value: 1 },
          { op: "appendEntry", stream: "s", data: 1, ...entry },
        ]),
        "TRANSACTION_FAILED",
        { reason, operationIndex: 1, ...more },
      );
    await failed({ stream: "" }, "INVALID_STREAM", {
      field: "operations[1].append_entries.stream",
    });
    await failed({ data: "x".repeat(1024 * 1024) }, "VALUE_TOO_LARGE");
    await failed({ userId: "nobody" }, "USER_NOT_FOUND");
    await failed({ id: "x" }, "INVALID_ENTRY_ID");
    await failed({ maxLen: 0 }, "INVALID_LIMIT", { field: "operations[1].append_entries.max_len" });
    await refused(
      mutable.transaction([{ op: "appendEntry", stream: "s", data: 1, key: "k" } as never]),
      "INVALID_OPTIONS",
    );
    const raw = new Raw(s.address);
    const append = { case: "appendEntries" as const, value: { stream: "s", entries: [] } };
    const { Commit: commit } = await import("../../gen/cortex/mutable/v1/mutable_pb.js").then(
      ({ MutableStore }) => ({ Commit: MutableStore.method.commit }),
    );
    expect(await raw.call(commit, { operations: [{ operation: append }] })).toMatchObject({
      reason: "INVALID_OPERATIONS",
    });
    raw.close();
    expect(await mutable.get("n", "k")).toBeNull();
    expect(await s.cortex.streams.info("s")).toBeNull();
  });

  it("waits for the commit of Transact, locks the stream only then, and wakes readers", async () => {
    const group = s.cortex.streams.group("g", "a");
    await group.ensure("late");
    const waiting = group.read("late", { blockMs: 20_000 });
    const transaction = new RawTransaction(s.address);
    await transaction.ask({ case: "begin", value: {} });
    const value = { stream: "late", entries: [{ dataJson: "1" }] };
    const answer = await transaction.ask({
      case: "write",
      value: { operations: [{ operation: { case: "appendEntries", value } }] },
    });
    expect(answer).toMatchObject({
      value: { results: [{ result: { case: "appended", value: { stream: "late", ids: [] } } }] },
    });
    await s.cortex.streams.append("late", 0);
    const committed = await transaction.ask({ case: "commit", value: {} });
    transaction.close();
    expect(dataOf(await waiting)).toEqual([0]);
    const [, second] = await all("late");
    expect(second?.data).toBe(1);
    expect(JSON.stringify(committed)).toContain(second?.id);
  });
});

it("of another tenant is never seen", async () => {
  const other = s.client({ tenantId: "other" });
  await s.cortex.streams.append("mine", 1);
  expect((await other.streams.range("mine")).entries).toEqual([]);
  await other.streams.append("mine", 2);
  expect(dataOf(await all("mine"))).toEqual([1]);
});

describe("with a quota", () => {
  const small = serve({ quotaKeys: 3, quotaBytes: 1000 });

  it("many appends of a transaction to one stream take room for one key", async () => {
    const { mutable, streams } = small.client({ tenantId: "transaction" });
    await mutable.set("n", "1", 1);
    await mutable.transaction((tx) => {
      for (let n = 0; n < 5; n++) tx.appendEntry("a", n);
      tx.set("n", "2", 1);
    });
    expect(await streams.info("a")).toMatchObject({ length: 5 });
    await mutable.transaction((tx) => tx.appendEntry("a", 5));
    const another = mutable.transaction((tx) => tx.appendEntry("b", 1));
    await refused(another, "QUOTA_EXCEEDED", { quota: "keys" });
  });

  it("a stream that was deleted on another server counts anew", async () => {
    const options = { tenantId: "deleted" };
    const { mutable, streams } = small.client(options);
    const elsewhere = small.client({ ...options, address: (await small.another()).address });
    for (const name of ["a", "b"]) await streams.append(name, 1);
    for (const name of ["a", "b"]) await elsewhere.streams.delete(name);
    for (const key of ["1", "2", "3"]) await mutable.set("n", key, 1);
    for (const name of ["a", "b"])
      await refused(streams.append(name, 1), "QUOTA_EXCEEDED", { quota: "keys" });
    await mutable.delete("n", "1");
    await streams.append("b", 1);
  });

  it("streams and groups count as keys, entries by their bytes", async () => {
    const { mutable, streams } = small.cortex;
    await streams.append("a", 1);
    await streams.group("g", "c").ensure("a");
    await mutable.set("n", "k", 1);
    await refused(streams.append("b", 1), "QUOTA_EXCEEDED", {
      quota: "keys",
      limit: "3",
      got: "3",
    });
    await refused(streams.group("h", "c").ensure("a"), "QUOTA_EXCEEDED", { quota: "keys" });
    await streams.append("a", 2); // the stream is there
    await streams.group("g", "d").ensure("a"); // and the group
    await refused(streams.append("a", "x".repeat(900)), "QUOTA_EXCEEDED", { quota: "bytes" });
    await refused(
      mutable.transaction((tx) => tx.appendEntry("a", "x".repeat(900))),
      "QUOTA_EXCEEDED",
      { quota: "bytes" },
    );
    await refused(
      mutable.transaction((tx) => tx.appendEntry("b", 1)),
      "QUOTA_EXCEEDED",
    );
    await streams.delete("a");
    await expect.poll(() => streams.append("b", 1).catch(() => null)).not.toBeNull();
  });
});

it("takes ids and limits that no client sends", async () => {
  const raw = new Raw(s.address);
  const { append } = Streams.method;
  const reply = (request: object) => raw.call(append, { stream: "raw", ...request });
  expect(await reply({ entries: [{ dataJson: "1" }], maxLen: -1n })).toMatchObject({
    reason: "INVALID_LIMIT",
  });
  expect(await reply({ entries: [{ dataJson: "" }] })).toMatchObject({ reason: "INVALID_VALUE" });
  expect(await reply({ entries: [{ dataJson: "1" }], maxAgeSeconds: Number.NaN })).toMatchObject({
    reason: "INVALID_TTL",
  });
  raw.close();
});
