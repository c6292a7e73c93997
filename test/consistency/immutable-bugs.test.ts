// One test for each bug that was found in ImmutableStore. docs/bugs.md lists them.
import { describe, expect, it } from "vitest";
import { ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { defaults } from "../../server/config/config.js";
import { start } from "../../server/start.js";
import { proxyThatCutsTheEnd, proxyToPostgres } from "../support/proxy.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve, testLog } from "../support/server.js";

const s = serve();
const store = (id: string, data: object, more = {}) =>
  s.cortex.immutable.store({ type: "t", id, data, ...more });

describe("a Commit that stores", () => {
  it("is done once, also if it is repeated while it is still running", async () => {
    const servers = [s.address, (await s.another()).address].map((address) => new Raw(address));
    for (let round = 0; round < 10; round++) {
      // Once one attempt is committed, the precondition and ifVersion would refuse the others.
      const id = `round-${round}`;
      const replies = await Promise.all(
        Array.from({ length: 4 }, (_, i) =>
          (servers[i % 2] as Raw).call(MutableStore.method.commit, {
            requestId: id,
            preconditions: [
              { namespace: "ns", key: id, condition: { case: "exists", value: false } },
            ],
            operations: [
              { namespace: "ns", key: id, operation: { case: "set", value: { valueJson: "1" } } },
              {
                operation: {
                  case: "store",
                  value: { type: "t", id, dataJson: "{}", ifVersion: 0 },
                },
              },
            ],
          }),
        ),
      );
      for (const reply of replies) expect(reply).toEqual(replies[0]);
      expect(replies[0]).toMatchObject({ results: [{}, { result: { case: "stored" } }] });
      expect(await s.cortex.immutable.getHistory("t", id)).toHaveLength(1);
    }
    for (const raw of servers) raw.close();
  });

  it("gives no reply larger than a message, in bytes", async () => {
    const ids = Array.from({ length: 66 }, (_, i) => `large-${i}`);
    const metadata = { x: "漢".repeat(21_800) };
    await Promise.all(ids.map((id) => store(id, {}, { metadata })));
    await expect(
      s.cortex.mutable.transaction(
        ids.map((id) => ({ op: "store" as const, type: "t", id, data: { again: true } })),
      ),
    ).toFailWith("REPLY_TOO_LARGE");
    expect(await s.cortex.immutable.count({ minVersion: 2 })).toBe(0);
  });
});

it("a repeat is told which agent stored it, not which asks", async () => {
  const [alice, bob] = [s.client({ agentId: "alice" }), s.client({ agentId: "bob" })];
  const entry = { type: "t", id: "agent", data: {} };
  const first = await alice.immutable.store(entry, { requestId: "agent" });
  for (const client of [bob, s.cortex])
    expect(await client.immutable.store(entry, { requestId: "agent" })).toEqual(first);
});

it("a store is acknowledged all the same if reading the versions before it fails", async () => {
  const { proxy, url } = await proxyToPostgres(s.databaseUrl);
  const config = { ...defaults, listen: "127.0.0.1:0", drainSeconds: 1 };
  const running = await start(config, url, testLog);
  await store("look", { n: 1 });
  proxy.onSend = (data) => {
    if (!data.includes("as asked (type, id, version, number)")) return false;
    proxy.cut();
    return true;
  };
  const raw = new Raw(running.address);
  const reply = await raw.call(ImmutableStore.method.store, {
    type: "t",
    id: "look",
    dataJson: '{"n":2}',
  });
  expect(reply).toMatchObject({
    record: { current: { version: 2 }, previousVersions: [], hasMoreVersions: true },
  });
  raw.close();
  await running.stop();
  proxy.close();
});

it("a store in Transact carries the request id of its begin", async () => {
  const transaction = new RawTransaction(s.address);
  await transaction.ask({ case: "begin", value: { requestId: "tx-begin" } });
  const operation = { case: "store" as const, value: { type: "t", id: "tx", dataJson: "{}" } };
  await transaction.ask({ case: "write", value: { operations: [{ operation }] } });
  await transaction.ask({ case: "commit", value: { requestId: "tx-begin" } });
  transaction.close();
  expect((await s.cortex.immutable.get("t", "tx"))?.requestId).toBe("tx-begin");
});

it("a scan whose connection breaks after the last message does not begin again", async () => {
  for (const id of ["1", "2", "3"]) {
    await s.cortex.immutable.store({ type: "scan", id, data: {} });
    await s.cortex.mutable.set("scan", id, 1);
  }
  const cut = async () =>
    s.client({ address: `127.0.0.1:${await proxyThatCutsTheEnd(s.address)}` });
  const seen: string[] = [];
  for await (const { id } of (await cut()).immutable.scan({ type: "scan" })) seen.push(id);
  expect(seen).toEqual(["3", "2", "1"]);
  const keys: string[] = [];
  for await (const { key } of (await cut()).mutable.scan("scan")) keys.push(key);
  expect(keys).toEqual(["1", "2", "3"]);
});

describe("text", () => {
  let seed = 7;
  const random = (n: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % n;
  };
  const han = (count: number, of: number) =>
    Array.from({ length: count }, () => String.fromCodePoint(0x4e00 + random(of))).join("");

  it("with more words than Postgres can index is stored, and found by its letters", async () => {
    const runs = Array.from({ length: 8000 }, () => han(16, 20_000));
    const text = runs.map((run, i) => run + (i % 40 === 39 ? " " : "-")).join("");
    await store("hyphens", { text });
    expect(await s.cortex.immutable.search((runs[5] as string).slice(3, 9))).toHaveLength(1);
  });

  it("with more pairs of letters than are kept is found to its end", async () => {
    await store("pairs", { text: han(100_000, 3000), tail: "退款政策" });
    for (const query of ["退款政策", "款政"])
      expect((await s.cortex.immutable.search(query)).map(({ record }) => record.id)).toContain(
        "pairs",
      );
  });

  it.each([
    ["11-21", "2026-11-21T10:00:00Z"],
    ["12-34", "AB12-34X"],
    ["ID-19", "COVID-19"],
    ["D-19", "COVID-19"],
    ["19", "COVID-19"],
    ["-5", "at -5 degrees"],
    ["5", "at -5 degrees"],
    ["js", "node.js"],
    ["O'B", "O'Brien-Lee"],
    ["er's", "the customer's"],
    ["ab-ca", "kebab-case-name"],
    ["-30-12", "+49-30-1234567"],
    ["e\u0301te\u0301", "été"],
    ["भाषा", "भाषाओं"],
    ["हिन्द", "हिन्दी"],
    ["לוֹם", "שָׁלוֹם"],
    ["عَرَب", "العَرَبِيَّة"],
    ["of", "a cup of coffee"],
    ["-", "a - b"],
    ["'", "it's"],
    ['"to be"', "to be or not"],
    ['"the who" live', "we saw the who live"],
    ["to", "東京tower"],
    ["po", "한국어Policy"],
    ["ㄆㄇ", "ㄅㄆㄇㄈ"],
    ["ΟΔΟΣ", "ΟΔΟΣΑΒ"],
    ["οδοσ", "ο ΟΔΟΣ"],
    ["ΔΟΣ", "ΟΔΟΣΑΒ"],
    ["5%", "a rate of 5% a year"],
  ])("%s is found in %s, and shown", async (query, text) => {
    const id = `${query} in ${text}`;
    await s.cortex.immutable.store({ type: "fragment", id, data: { text } });
    const results = await s.cortex.immutable.search(query, { type: "fragment", limit: 100 });
    const result = results.find(({ record }) => record.id === id);
    expect(result?.matches).toEqual(["data.text"]);
    expect(result?.highlights[0]?.text).toContain("<mark>");
    expect(result?.score).toBeGreaterThan(0);
  });
});

it.each([
  ["ads", "address book"],
  ["going", "government"],
  ["ids", "identity"],
  ["i'm", "mail"],
  ["we'd", "doctor doing"],
  ["न", "हिन्दीभाषा"],
  ["xy", "q\u0303xyz"],
  ['"the who" live', "the live show of who it was"],
])("%s is not found in %s", async (query, text) => {
  await s.cortex.immutable.store({ type: "not", id: `${query} in ${text}`, data: { text } });
  const results = await s.cortex.immutable.search(query, { type: "not", limit: 100 });
  expect(results.map(({ record }) => record.id)).not.toContain(`${query} in ${text}`);
});

describe("highlights", () => {
  const shown = async (query: string, text: string) => {
    await s.cortex.immutable.purge("shown", "s");
    await s.cortex.immutable.store({ type: "shown", id: "s", data: { text } });
    const [result] = await s.cortex.immutable.search(query, { type: "shown" });
    expect(result?.matches).toEqual(["data.text"]);
    return result?.highlights[0]?.text;
  };

  it.each([
    ["refund", "Refund  Policy", "<mark>Refund</mark>  Policy"],
    [
      "refund",
      "Hello\n\nRefund this\n\nand wait… ok",
      "Hello\n\n<mark>Refund</mark> this\n\nand wait… ok",
    ],
    ["refunds", "x\n  y refunds ﬃ", "x\n  y <mark>refunds</mark> ﬃ"],
    ["refund", "İİİİ refund policy", "İİİİ <mark>refund</mark> policy"],
    ["office", "the oﬃce", "the <mark>oﬃce</mark>"],
    ["ΟΔΥΣΣΕΥΣ", "ο ΟΔΥΣΣΕΥΣ", "ο <mark>ΟΔΥΣΣΕΥΣ</mark>"],
  ])("of %s in %j mark the right place in the stored text", async (query, text, expected) => {
    expect(await shown(query, text)).toBe(expected);
  });

  it("are not misled by a word that is too long for Postgres", async () => {
    const text = await shown("refunds", `${"x".repeat(3000)} we are refunding the customers`);
    expect(text).not.toMatch(/<mark>x/);
  });

  it("name the field even if the match is far from its start", async () => {
    await shown("refunds", `${"pad ".repeat(6000)}refunding`);
  });

  it("leave out fields with very long names, so that a reply stays small", async () => {
    for (let i = 0; i < 5; i++)
      await store(`names-${i}`, {
        ["n".repeat(20_000)]: Array.from({ length: 200 }, () => "zebra"),
        short: "zebra",
      });
    const results = await s.cortex.immutable.search("zebra");
    expect(results.map(({ matches }) => matches)).toEqual(
      Array.from({ length: 5 }, () => ["data.short"]),
    );
  });
});

describe("input that was once an unexpected failure:", () => {
  it("an olderThan in the first year deletes nothing", async () => {
    await store("old", {});
    const raw = new Raw(s.address);
    expect(
      await raw.call(ImmutableStore.method.purgeVersions, {
        type: "t",
        id: "old",
        olderThan: { seconds: -62_135_596_800n, nanos: 0 } as never,
      }),
    ).toMatchObject({ versionsDeleted: 0n, versionsRemaining: 1n });
    raw.close();
  });

  it("a confirmation token with U+0000, and forged scores in page tokens, are refused", async () => {
    await expect(
      s.cortex.immutable.purgeMany({ type: "t" }, { confirmationToken: "\0" }),
    ).toFailWith("CONFIRMATION_STALE");
    const raw = new Raw(s.address);
    const { search } = ImmutableStore.method;
    for (let i = 0; i < 3; i++)
      await s.cortex.immutable.store({ type: "page", id: `${i}`, data: { a: "walrus" } });
    const page = await raw.call(search, { query: "walrus", limit: 1 });
    const token = "nextPageToken" in page ? page.nextPageToken : "";
    const [of, , type, id] = JSON.parse(Buffer.from(token, "base64url").toString());
    for (const score of ["0.5e-99999", "9e-400", "-1", "NaN", "Infinity", ""]) {
      const pageToken = Buffer.from(JSON.stringify([of, score, type, id])).toString("base64url");
      expect(await raw.call(search, { query: "walrus", limit: 1, pageToken })).toMatchObject({
        reason: "INVALID_PAGE_TOKEN",
      });
    }
    raw.close();
  });

  it("a record whose current version is gone can still be stored, purged and verified", async () => {
    for (const n of [1, 2]) await store("damaged", { n });
    await s.sql`delete from immutable_version where id = 'damaged' and version = 2`;
    expect((await store("damaged", { n: 3 })).version).toBe(3);
    expect((await s.cortex.immutable.verifyHistory("t", "damaged")).problems).toEqual([
      { version: 2, kind: "missing" },
    ]);
    expect(await s.cortex.immutable.purgeVersions("t", "damaged", { keepLatest: 1 })).toMatchObject(
      { versionsRemaining: 1 },
    );
  });
});

it("metadata that is no plain object is refused, not stored as {}", async () => {
  for (const metadata of [new Map([["a", 1]]), new Date(), new Set(), [], "x"])
    await expect(store("metadata", {}, { metadata })).toFailWith("INVALID_METADATA");
  for (const metadata of [{ a: { b: undefined } }, { a: Number.NaN }])
    await expect(store("metadata", {}, { metadata })).toFailWith("INVALID_METADATA");
  await expect(s.cortex.immutable.count({ metadata: { a: { b: undefined } } })).toFailWith(
    "INVALID_FILTER",
  );
  expect((await store("metadata", {}, { metadata: { a: undefined, b: 1 } })).metadata).toEqual({
    b: 1,
  });
});

it("a purge of many reads no table as a whole for each record, also after small purges", async () => {
  const many = async (count: number) => {
    await s.sql`
      with h as (
        insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, metadata, digest, labels, data_text, data_words)
        select '', 'many', n::text, 1, 1, now(), now(), '{}', '', '{}', '', '' from generate_series(1, ${count}::int) n
        returning tenant, type, id
      )
      insert into immutable_version (tenant, type, id, version, data, metadata, created_at, salt, previous_digest, digest)
      select tenant, type, id, 1, '{}', '{}', now(), '', '', '' from h`;
    return s.cortex.immutable.purgeMany({ type: "many" });
  };
  const scans = async () =>
    Number(
      (
        await s.sql`select seq_scan, n_tup_del from pg_stat_user_tables where relname = 'immutable_version'`
      )[0]?.seq_scan,
    );
  // These small purges make Postgres plan the cascading deletes while the tables are small.
  for (let i = 0; i < 12; i++) await many(2);
  const before = await scans();
  expect((await many(1000)).recordsAffected).toBe(1000);
  await expect
    .poll(
      async () =>
        Number(
          (
            await s.sql`select n_tup_del from pg_stat_user_tables where relname = 'immutable_version'`
          )[0]?.n_tup_del,
        ),
      { timeout: 15_000 },
    )
    .toBeGreaterThanOrEqual(1024);
  expect((await scans()) - before).toBeLessThan(100);
});
