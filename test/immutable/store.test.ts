import { describe, expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { Retention } from "../../server/config/retention.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({
  retention: new Retention(
    20,
    new Map([
      ["all", -1],
      ["few", 3],
      ["one", 1],
    ]),
  ),
});
const { store: method } = ImmutableStore.method;
const big = (bytes: number) => `{"t":"${"x".repeat(bytes - 8)}"}`;

describe("store", () => {
  it("makes version 1, then the next, each with its time; the ones before come along", async () => {
    const first = await s.cortex.immutable.store({
      type: "kb-article",
      id: "refund-policy",
      data: { title: "Refund Policy", at: new Date(0), nested: { list: [1, null, "é"] } },
      metadata: { publishedBy: "admin", tags: ["policy"], importance: 90 },
    });
    expect(first).toEqual({
      type: "kb-article",
      id: "refund-policy",
      version: 1,
      data: {
        title: "Refund Policy",
        at: "1970-01-01T00:00:00.000Z",
        nested: { list: [1, null, "é"] },
      },
      metadata: { publishedBy: "admin", tags: ["policy"], importance: 90 },
      createdAt: expect.any(Date),
      firstCreatedAt: first.createdAt,
      previousVersions: [],
      hasMoreVersions: false,
      requestId: expect.any(String),
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      salt: expect.any(String),
    });
    const second = await s.cortex.immutable.store({
      type: "kb-article",
      id: "refund-policy",
      data: { title: "v2" },
    });
    expect(second.version).toBe(2);
    expect(second.createdAt.getTime()).toBeGreaterThan(first.createdAt.getTime());
    expect(second.firstCreatedAt).toEqual(first.createdAt);
    const {
      type: _,
      id: __,
      firstCreatedAt: ___,
      previousVersions: ____,
      hasMoreVersions: _____,
      ...version
    } = first;
    expect(second.previousVersions).toEqual([{ ...version, timestamp: first.createdAt }]);
    const third = await s.cortex.immutable.store(
      { type: "kb-article", id: "refund-policy", data: {} },
      { includeHistory: false },
    );
    expect([third.version, third.previousVersions, third.hasMoreVersions]).toEqual([3, [], true]);
  });

  it("keeps user and metadata of the version before unless they are given; null clears", async () => {
    await s.cortex.users.create("u1");
    await s.cortex.users.create("u2");
    const store = (more: object) =>
      s.cortex.immutable.store({ type: "t", id: "inherits", data: {}, ...more });
    const seen = [];
    for (const more of [
      { userId: "u1", metadata: { a: 1 } },
      {},
      { metadata: { b: 2 } },
      { userId: "u2" },
      { userId: null },
      {},
      { metadata: null },
      {},
    ]) {
      const { userId, metadata } = await store(more);
      seen.push([userId, metadata]);
    }
    expect(seen).toEqual([
      ["u1", { a: 1 }],
      ["u1", { a: 1 }],
      ["u1", { b: 2 }],
      ["u2", { b: 2 }],
      [undefined, { b: 2 }],
      [undefined, { b: 2 }],
      [undefined, {}],
      [undefined, {}],
    ]);
    const history = await s.cortex.immutable.getHistory("t", "inherits");
    expect(history.map(({ userId, metadata }) => [userId, metadata])).toEqual(seen);
    // Filters see the metadata and the user of the current version only.
    expect(await s.cortex.immutable.count({ type: "t", metadata: { b: 2 } })).toBe(0);
    await store({ metadata: { b: 2 } });
    await store({});
    expect(await s.cortex.immutable.count({ type: "t", metadata: { b: 2 } })).toBe(1);
    expect(await s.cortex.immutable.count({ type: "t", userId: "u2" })).toBe(0);
  });

  it("says who stored it: the agent, and the request", async () => {
    const agent = s.client({ agentId: "finance-agent" });
    const stored = await agent.immutable.store(
      { type: "t", id: "who", data: {} },
      { requestId: "who-1" },
    );
    expect([stored.agentId, stored.requestId, stored.principal]).toEqual([
      "finance-agent",
      "who-1",
      undefined,
    ]);
    const next = await s.cortex.immutable.store({ type: "t", id: "who", data: {} });
    expect([next.agentId, next.previousVersions[0]?.agentId]).toEqual([undefined, "finance-agent"]);
    const raw = new Raw(s.address);
    const request = { type: "t", id: "who", dataJson: "{}" };
    expect(await raw.call(method, request, { "x-agent-id": "a".repeat(256) })).toHaveProperty(
      "record",
    );
    expect(await raw.call(method, request, { "x-agent-id": "a".repeat(257) })).toMatchObject({
      status: 3,
      reason: "INVALID_AGENT_ID",
      details: { limit: "256 bytes", got: "257" },
    });
    raw.close();
  });

  it("with ifVersion stores only on that version; 0 means none", async () => {
    const store = (ifVersion: number) =>
      s.cortex.immutable.store({ type: "t", id: "if", data: { ifVersion } }, { ifVersion });
    const mismatch = (expected: number, current: number) => ({
      type: "t",
      id: "if",
      expected_version: `${expected}`,
      current_version: `${current}`,
    });
    await expect(store(1)).toFailWith("VERSION_MISMATCH", mismatch(1, 0));
    expect((await store(0)).version).toBe(1);
    await expect(store(0)).toFailWith("VERSION_MISMATCH", mismatch(0, 1));
    expect((await store(1)).version).toBe(2);
    await expect(store(1)).toFailWith("VERSION_MISMATCH", mismatch(1, 2));
    await expect(store(-1)).toFailWith("INVALID_VERSION", { field: "if_version" });
    await expect(store(1.5)).toFailWith("INVALID_VERSION");
    expect(await s.cortex.immutable.getHistory("t", "if")).toHaveLength(2);
  });

  it("gives data back to the letter", async () => {
    const raw = new Raw(s.address);
    const dataJson = '{"b": 1.0, "a" :1e2, "n":12345678901234567890, "z":"\\u0000\\ud800", "b":2}';
    const metadataJson = '{ "m" : "\\u0000" , "huge": 1e400000}';
    const request = { type: "letter", id: "x\u{10ffff}", dataJson, metadataJson };
    const stored = await raw.call(method, request);
    const read = await raw.call(ImmutableStore.method.get, { type: "letter", id: "x\u{10ffff}" });
    for (const reply of [stored, read])
      expect(reply).toMatchObject({ record: { current: { dataJson, metadataJson } } });
    raw.close();
  });

  it("keeps as many versions as the retention says, the current one counted", async () => {
    const kept = async (type: string, stores: number) => {
      for (let i = 0; i < stores; i++)
        await s.cortex.immutable.store({ type, id: "r", data: { i } }, { includeHistory: false });
      return (await s.cortex.immutable.getHistory(type, "r")).map(({ version }) => version);
    };
    expect(await kept("few", 5)).toEqual([3, 4, 5]);
    expect(await kept("one", 3)).toEqual([3]);
    expect(await kept("default", 22)).toEqual(Array.from({ length: 20 }, (_, i) => i + 3));
    expect(await kept("all", 25)).toHaveLength(25);
    const next = await s.cortex.immutable.store({ type: "few", id: "r", data: {} });
    expect(next.previousVersions.map(({ version }) => version)).toEqual([4, 5]);
    expect(next.hasMoreVersions).toBe(false);
    const [{ count } = { count: "" }] =
      await s.sql`select count(*) from immutable_version where type = 'few'`;
    expect(count).toBe("3");
  });

  it("carries at most 100 versions before, the last ones, and about 1 MiB", async () => {
    for (let i = 1; i <= 103; i++)
      await s.cortex.immutable.store(
        { type: "all", id: "many", data: { i } },
        { includeHistory: false },
      );
    const record = await s.cortex.immutable.store({ type: "all", id: "many", data: {} });
    const numbers = Array.from({ length: 100 }, (_, i) => i + 4);
    for (const { previousVersions, hasMoreVersions } of [
      record,
      (await s.cortex.immutable.get("all", "many")) as typeof record,
    ]) {
      expect(previousVersions.map(({ version }) => version)).toEqual(numbers);
      expect(hasMoreVersions).toBe(true);
    }
    await s.cortex.immutable.purgeVersions("all", "many", { keepLatest: 101 });
    expect(await s.cortex.immutable.get("all", "many")).toMatchObject({ hasMoreVersions: false });
    for (let i = 0; i < 4; i++)
      await s.cortex.immutable.store({
        type: "all",
        id: "large",
        data: { t: "x".repeat(700_000) },
      });
    const large = await s.cortex.immutable.get("all", "large");
    expect(large?.previousVersions.map(({ version }) => version)).toEqual([2, 3]);
    expect(large?.hasMoreVersions).toBe(true);
  });
});

describe("bad input to store is refused, and stores nothing:", () => {
  const store = (more: object) =>
    s.cortex.immutable.store({ type: "bad", id: "b", data: {}, ...more } as never);

  it.each<[string, object, string, object?]>([
    ["an empty type", { type: "" }, "INVALID_TYPE", { field: "type" }],
    ["a blank type", { type: " " }, "INVALID_TYPE"],
    ["a type with a control character", { type: "a\nb" }, "INVALID_TYPE"],
    ["a long type", { type: "é".repeat(129) }, "INVALID_TYPE", { got: "258" }],
    ["a type that is no text", { type: 5 }, "INVALID_TYPE"],
    ["an empty id", { id: "" }, "INVALID_ID", { field: "id" }],
    ["a long id", { id: "x".repeat(1025) }, "INVALID_ID", { got: "1025" }],
    ["no data", { data: undefined }, "INVALID_DATA"],
    ["data that is a list", { data: [] }, "INVALID_DATA"],
    ["data that is null", { data: null }, "INVALID_DATA"],
    ["data that is text", { data: "x" }, "INVALID_DATA"],
    ["data that becomes text", { data: new Date(0) }, "INVALID_DATA"],
    ["data with NaN", { data: { a: [Number.NaN] } }, "INVALID_DATA", { path: "data.a[0]" }],
    [
      "large data",
      { data: { t: "x".repeat(1024 * 1024) } },
      "DATA_TOO_LARGE",
      { field: "data_json", limit: "1048576" },
    ],
    [
      "importance above 100",
      { metadata: { importance: 101 } },
      "INVALID_METADATA",
      { problem: "is not a number from 0 to 100" },
    ],
    ["importance below 0", { metadata: { importance: -0.5 } }, "INVALID_METADATA"],
    ["importance that is text", { metadata: { importance: "5" } }, "INVALID_METADATA"],
    [
      "tags that are no list",
      { metadata: { tags: "a" } },
      "INVALID_METADATA",
      { problem: "is not a list of texts" },
    ],
    ["tags that are no texts", { metadata: { tags: ["a", 1] } }, "INVALID_METADATA"],
    ["metadata that is a list", { metadata: [] }, "INVALID_METADATA"],
    ["large metadata", { metadata: { m: "x".repeat(65536) } }, "INVALID_METADATA"],
    ["an empty user id", { userId: "" }, "INVALID_USER_ID"],
    ["an unknown user", { userId: "nobody" }, "USER_NOT_FOUND", { user_id: "nobody" }],
    ["an option nobody knows", { ttl: 5 }, "INVALID_OPTIONS", { field: "ttl" }],
  ])("%s", async (_, more, code, details) => {
    await expect(store(more)).toFailWith(code as never, details as never);
    expect(await s.cortex.immutable.get("bad", "b")).toBeNull();
  });

  it("what only raw gRPC can send", async () => {
    const raw = new Raw(s.address);
    const ok = { type: "bad", id: "b", dataJson: "{}" };
    for (const [more, reason] of [
      [{ dataJson: "" }, "INVALID_DATA"],
      [{ dataJson: "{" }, "INVALID_DATA"],
      [{ dataJson: "[]" }, "INVALID_DATA"],
      [{ dataJson: `{"a":${"[".repeat(1000)}${"]".repeat(1000)}}` }, "VALUE_TOO_DEEP"],
      [{ metadataJson: "" }, "INVALID_METADATA"],
      [{ userId: "u", clearUserId: true }, "INVALID_OPTIONS"],
      [{ metadataJson: "{}", clearMetadata: true }, "INVALID_OPTIONS"],
      [{ requestId: "" }, "INVALID_REQUEST_ID"],
    ] as const)
      expect(await raw.call(method, { ...ok, ...more })).toMatchObject({ status: 3, reason });
    expect(await s.cortex.immutable.get("bad", "b")).toBeNull();
    raw.close();
  });

  it("limits hold at their very edge", async () => {
    const raw = new Raw(s.address);
    const name = { type: "x".repeat(256), id: "y".repeat(1024) };
    const dataJson = big(1024 * 1024);
    expect(Buffer.byteLength(dataJson)).toBe(1024 * 1024);
    const deep = `{"a":${"[".repeat(999)}${"]".repeat(999)}}`;
    for (const more of [
      { dataJson },
      { dataJson: deep },
      { metadataJson: `{"m":"${"x".repeat(65536 - 8)}"}` },
      { metadataJson: '{"importance":0}' },
      { metadataJson: '{"importance":100,"tags":[]}' },
    ])
      expect(await raw.call(method, { ...name, dataJson: "{}", ...more })).toHaveProperty("record");
    expect(await raw.call(method, { ...name, dataJson: big(1024 * 1024 + 1) })).toMatchObject({
      reason: "DATA_TOO_LARGE",
      details: { got: `${1024 * 1024 + 1}` },
    });
    raw.close();
  });

  it("a text with more words than Postgres can index is stored all the same, and found by what is in it", async () => {
    const words = Array.from({ length: 150_000 }, (_, i) => i.toString(36)).join(" ");
    await s.cortex.immutable.store({ type: "words", id: "w", data: { words } });
    for (const query of ["2n9", (149_999).toString(36)])
      expect(await s.cortex.immutable.search(query, { type: "words" })).toHaveLength(1);
    const long = "y".repeat(900_000);
    await s.cortex.immutable.store({ type: "words", id: "long", data: { long } });
    expect(await s.cortex.immutable.search("yyyy", { type: "words" })).toHaveLength(1);
  });
});

describe("many writers of one record", () => {
  it("make versions 1 to N without a gap, at times that increase, each reply its own", async () => {
    const writers = 32;
    const each = 10;
    const another = await s.another();
    const clients = [s.cortex, s.client({ address: another.address })];
    const replies = (
      await Promise.all(
        Array.from({ length: writers }, async (_, writer) => {
          const mine = [];
          for (let i = 0; i < each; i++)
            mine.push(
              await (clients[writer % 2] as typeof s.cortex).immutable.store(
                { type: "all", id: "hot", data: { writer, i } },
                { includeHistory: false },
              ),
            );
          return mine;
        }),
      )
    ).flat();
    const total = writers * each;
    const numbers = Array.from({ length: total }, (_, i) => i + 1);
    expect(replies.map(({ version }) => version).sort((a, b) => a - b)).toEqual(numbers);
    const history = await s.cortex.immutable.getHistory("all", "hot");
    expect(history.map(({ version }) => version)).toEqual(numbers);
    for (const reply of replies)
      expect(history[reply.version - 1]).toMatchObject({
        data: reply.data,
        createdAt: reply.createdAt,
      });
    const times = history.map(({ createdAt }) => createdAt.getTime());
    times.forEach((time, i) => {
      if (i > 0) expect(time).toBeGreaterThan(times[i - 1] as number);
    });
    const [{ now } = { now: new Date(0) }] = await s.sql`select clock_timestamp() as now`;
    expect(times.at(-1)).toBeLessThanOrEqual(now.getTime()); // no time is ahead of the clock
    expect(await s.cortex.immutable.verifyHistory("all", "hot")).toMatchObject({
      valid: true,
      versions: total,
    });
    // The versions of each writer have the order in which it stored them.
    for (let writer = 0; writer < writers; writer++)
      expect(
        history.filter(({ data }) => data.writer === writer).map(({ data }) => data.i),
      ).toEqual(Array.from({ length: each }, (_, i) => i));
  });

  it("keep within the retention all the while", async () => {
    await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        s.cortex.immutable.store({ type: "few", id: "hot", data: { i } }),
      ),
    );
    expect(
      (await s.cortex.immutable.getHistory("few", "hot")).map(({ version }) => version),
    ).toEqual([58, 59, 60]);
    const [row] =
      await s.sql`select count(*)::int as count from immutable_version where type = 'few' and id = 'hot'`;
    expect(row?.count).toBe(3);
  });

  it("wait if the record is locked elsewhere, and do not delay stores of other records", async () => {
    await s.cortex.immutable.store({ type: "all", id: "held", data: {} });
    const holder = await s.sql.reserve();
    await holder`begin`;
    await holder`select 1 from immutable where id = 'held' for update`;
    const waiting = Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        s.cortex.immutable.store({ type: "all", id: "held", data: { i } }),
      ),
    );
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        s.cortex.immutable.store({ type: "all", id: `free-${i}`, data: {} }),
      ),
    );
    expect((await s.cortex.immutable.get("all", "held"))?.version).toBe(1);
    await holder`commit`;
    holder.release();
    const stored = await waiting;
    expect(stored.map(({ version }) => version).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 50 }, (_, i) => i + 2),
    );
  });

  it("a store that fails does not fail the stores that are sent with it", async () => {
    const replies = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        s.cortex.immutable.store(
          { type: "all", id: `n-${i}`, data: {}, ...(i % 4 === 0 && { userId: "nobody" }) },
          i % 5 === 0 ? { ifVersion: 3 } : {},
        ),
      ),
    );
    expect(replies.map(({ status }) => status === "fulfilled")).toEqual(
      Array.from({ length: 20 }, (_, i) => i % 4 !== 0 && i % 5 !== 0),
    );
  });
});

describe("under a request id", () => {
  it("a store is done once, also on another server; another store under it is refused", async () => {
    const another = await s.another();
    const entry = { type: "all", id: "once", data: { n: 1 } };
    const first = await s.cortex.immutable.store(entry, { requestId: "once-1" });
    await s.cortex.immutable.store({ ...entry, data: { n: 2 } });
    for (const client of [s.cortex, s.client({ address: another.address })])
      expect(await client.immutable.store(entry, { requestId: "once-1" })).toEqual(first);
    expect((await s.cortex.immutable.get("all", "once"))?.version).toBe(2);
    for (const other of [
      { data: { n: 9 } },
      { id: "other" },
      { metadata: {} },
      { metadata: null },
      { userId: null },
    ])
      await expect(
        s.cortex.immutable.store({ ...entry, ...other }, { requestId: "once-1" }),
      ).toFailWith("REQUEST_ID_REUSED");
    await expect(s.cortex.mutable.set("ns", "k", 1, { requestId: "once-1" })).toFailWith(
      "REQUEST_ID_REUSED",
    );
  });

  it("repeats that come together are one store", async () => {
    const another = await s.another();
    const clients = [s.cortex, s.client({ address: another.address })];
    for (let round = 0; round < 5; round++) {
      const replies = await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          (clients[i % 2] as typeof s.cortex).immutable.store(
            { type: "all", id: "together", data: { round } },
            { requestId: `together-${round}`, ifVersion: round },
          ),
        ),
      );
      for (const reply of replies) expect(reply).toEqual(replies[0]);
      expect(replies[0]?.version).toBe(round + 1);
    }
  });
});
