// Checks that versions stored by Commit and Transact are committed together with the changes of entries, or
// not at all.
import { setTimeout as pause } from "node:timers/promises";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import type { ImmutableRecord } from "../../client/index.js";
import type { Record } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import {
  MutableStore,
  type TransactCommitted,
  type TransactWritten,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Retention } from "../../server/config/retention.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(-1, new Map([["few", 2]])) });
const { commit } = MutableStore.method;
const audit = (id: string, data: object, more = {}) => ({
  op: "store" as const,
  type: "audit",
  id,
  data,
  ...more,
});
const versions = async (id: string) =>
  (await s.cortex.immutable.getHistory("audit", id)).map(({ data }) => data);

describe("transaction(operations)", () => {
  it("changes an entry and stores its record together; each operation has its result", async () => {
    const { operationsExecuted, results } = await s.cortex.mutable.transaction([
      { op: "set", namespace: "ns", key: "balance", value: 10 },
      audit("a", { change: 10 }, { metadata: { tags: ["x"] } }),
      { op: "decrement", namespace: "ns", key: "balance", amount: 3 },
      audit("a", { change: -3 }),
      audit("b", { of: "b" }, { ifVersion: 0 }),
      { op: "delete", namespace: "ns", key: "balance" },
    ]);
    expect(operationsExecuted).toBe(6);
    expect(
      results.map((r) =>
        "version" in r
          ? [r.id, r.version, r.metadata]
          : "value" in r
            ? r.value
            : "deleted" in r && r.deleted,
      ),
    ).toEqual([10, ["a", 1, { tags: ["x"] }], 7, ["a", 2, { tags: ["x"] }], ["b", 1, {}], true]);
    expect(await versions("a")).toEqual([{ change: 10 }, { change: -3 }]);
    const [first, second] = await s.cortex.immutable.getHistory("audit", "a");
    expect(second?.createdAt.getTime()).toBeGreaterThan(first?.createdAt.getTime() as number);
    expect(await s.cortex.immutable.search("b", { type: "audit" })).toHaveLength(1);
    expect((await s.cortex.immutable.verifyHistory("audit", "a")).valid).toBe(true);
  });

  it("stores alone too, and deletes what the retention no longer keeps", async () => {
    await s.cortex.mutable.transaction(
      Array.from({ length: 5 }, (_, i) => ({
        op: "store" as const,
        type: "few",
        id: "r",
        data: { i },
      })),
    );
    expect((await s.cortex.immutable.getHistory("few", "r")).map(({ version }) => version)).toEqual(
      [4, 5],
    );
  });

  it.each<[string, object, string]>([
    ["a version that is not current", audit("f", {}, { ifVersion: 7 }), "VERSION_MISMATCH"],
    ["a user nobody knows", audit("f", {}, { userId: "nobody" }), "USER_NOT_FOUND"],
  ])("changes nothing if a store fails: %s", async (_, store, reason) => {
    await expect(
      s.cortex.mutable.transaction([
        { op: "set", namespace: "ns", key: "f", value: 1 },
        audit("f", { first: true }),
        store as never,
      ]),
    ).toFailWith("TRANSACTION_FAILED", { operationIndex: 2, reason });
    expect(await s.cortex.mutable.exists("ns", "f")).toBe(false);
    expect(await versions("f")).toEqual([]);
  });

  it("changes nothing if an operation on an entry fails, and names that operation", async () => {
    await expect(
      s.cortex.mutable.transaction([
        audit("g", {}),
        { op: "set", namespace: "ns", key: "g", value: "text" },
        { op: "increment", namespace: "ns", key: "g" },
      ]),
    ).toFailWith("TRANSACTION_FAILED", { operationIndex: 2, reason: "VALUE_NOT_NUMERIC" });
    expect(await versions("g")).toEqual([]);
  });

  it("refuses an invalid store", async () => {
    const fails = async (store: object, reason: string) =>
      expect(
        s.cortex.mutable.transaction([
          { op: "set", namespace: "ns", key: "h", value: 1 },
          store as never,
        ]),
      ).toFailWith(reason as never);
    await fails({ ...audit("h", {}), data: [] }, "INVALID_DATA");
    await fails({ ...audit("h", {}), namespace: "ns" }, "INVALID_OPTIONS");
    await fails(audit("h", { t: "x".repeat(1024 * 1024) }), "TRANSACTION_FAILED");
    await fails(audit("", {}), "TRANSACTION_FAILED");
    const raw = new Raw(s.address);
    const store = { case: "store" as const, value: { type: "audit", id: "h", dataJson: "{}" } };
    for (const more of [{ namespace: "ns" }, { key: "k" }, { createIfMissing: true }])
      expect(await raw.call(commit, { operations: [{ operation: store, ...more }] })).toMatchObject(
        {
          status: 3,
          reason: "INVALID_OPERATIONS",
          details: { operation_index: "0" },
        },
      );
    expect(
      await raw.call(commit, {
        operations: [{ operation: { ...store, value: { ...store.value, dataJson: "[]" } } }],
      }),
    ).toMatchObject({
      reason: "INVALID_DATA",
      details: { field: "operations[0].store.data_json", operation_index: "0" },
    });
    raw.close();
    expect(await s.cortex.mutable.exists("ns", "h")).toBe(false);
    expect(await versions("h")).toEqual([]);
  });

  it("is done once under a request id, on any server", async () => {
    const another = s.client({ address: (await s.another()).address });
    const operations = [
      { op: "increment" as const, namespace: "ns", key: "once", createIfMissing: true },
      audit("once", { n: 1 }),
    ];
    const first = await s.cortex.mutable.transaction(operations, { requestId: "tx-1" });
    for (const client of [s.cortex, another])
      expect(await client.mutable.transaction(operations, { requestId: "tx-1" })).toEqual(first);
    expect((first.results[1] as ImmutableRecord).requestId).toBe("tx-1");
    expect(await s.cortex.mutable.get("ns", "once")).toBe(1);
    expect(await versions("once")).toEqual([{ n: 1 }]);
    await expect(
      s.cortex.mutable.transaction([...operations, audit("once", {})], { requestId: "tx-1" }),
    ).toFailWith("REQUEST_ID_REUSED");
    // The request is sent to two servers at once: the slower one finds the stored reply of the other.
    for (let round = 0; round < 5; round++) {
      const replies = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          (i % 2 ? another : s.cortex).mutable.transaction(operations, {
            requestId: `tx-many-${round}`,
          }),
        ),
      );
      for (const reply of replies) expect(reply).toEqual(replies[0]);
    }
    expect(await s.cortex.mutable.get("ns", "once")).toBe(6);
    expect(await versions("once")).toHaveLength(6);
  });

  it("a failed precondition refuses the stores too", async () => {
    const raw = new Raw(s.address);
    const operations = [
      {
        operation: { case: "store" as const, value: { type: "audit", id: "pre", dataJson: "{}" } },
      },
    ];
    const preconditions = (exists: boolean) => [
      { namespace: "ns", key: "pre", condition: { case: "exists" as const, value: exists } },
    ];
    expect(
      await raw.call(commit, { preconditions: preconditions(true), operations }),
    ).toMatchObject({
      reason: "TRANSACTION_FAILED",
      details: { precondition_index: "0", reason: "KEY_NOT_FOUND" },
    });
    expect(await versions("pre")).toEqual([]);
    expect(
      await raw.call(commit, { preconditions: preconditions(false), operations }),
    ).toMatchObject({
      results: [{ result: { case: "stored", value: { current: { version: 1 } } } }],
    });
    // The key that the precondition found absent is still absent.
    expect(await s.sql`select 1 from mutable where key = 'pre'`).toHaveLength(0);
    raw.close();
  });
});

describe("transaction(callback)", () => {
  it("stores with tx.store, once, however often the callback runs", async () => {
    await s.cortex.mutable.set("ns", "cb", 5);
    let runs = 0;
    const { results } = await s.cortex.mutable.transaction(async (tx) => {
      runs++;
      const n = tx.get<number>("ns", "cb") as number;
      tx.store({ type: "audit", id: "cb", data: { from: n } });
      if (runs === 2) await s.cortex.mutable.set("ns", "cb", 50); // once, a rival writes first
      tx.set("ns", "cb", n + 1);
      tx.store({ type: "audit", id: "cb", data: { to: n + 1 } }, { ifVersion: 1 });
    });
    expect(runs).toBeGreaterThan(2);
    expect(results).toHaveLength(3);
    expect(await s.cortex.mutable.get("ns", "cb")).toBe(51);
    expect(await versions("cb")).toEqual([{ from: 50 }, { to: 51 }]);
  });

  it("stores nothing if the callback throws or a store fails", async () => {
    await expect(
      s.cortex.mutable.transaction((tx) => {
        tx.store({ type: "audit", id: "no", data: {} });
        throw new Error("no");
      }),
    ).toFailWith("TRANSACTION_FAILED");
    await expect(
      s.cortex.mutable.transaction((tx) => {
        tx.store({ type: "audit", id: "no", data: [] as never });
      }),
    ).toFailWith("TRANSACTION_FAILED", { reason: "INVALID_DATA", operationIndex: 0 });
    await expect(
      s.cortex.mutable.transaction((tx) => {
        tx.set("ns", "no", 1);
        tx.store({ type: "audit", id: "no", data: {} }, { ifVersion: 4 });
      }),
    ).toFailWith("TRANSACTION_FAILED", { reason: "VERSION_MISMATCH", operationIndex: 1 });
    expect(await versions("no")).toEqual([]);
    expect(await s.cortex.mutable.exists("ns", "no")).toBe(false);
  });

  it("32 at once on one counter and one record store one version for each increment", async () => {
    await s.cortex.mutable.set("ns", "hot", 0);
    const another = s.client({ address: (await s.another()).address });
    await Promise.all(
      Array.from({ length: 32 }, (_, i) =>
        (i % 2 ? another : s.cortex).mutable.transaction(
          (tx) => {
            const n = tx.get<number>("ns", "hot") as number;
            tx.set("ns", "hot", n + 1);
            tx.store({ type: "audit", id: "hot", data: { n: n + 1 } });
          },
          { timeoutMs: 60_000, maxAttempts: 100 },
        ),
      ),
    );
    expect(await s.cortex.mutable.get("ns", "hot")).toBe(32);
    expect(await versions("hot")).toEqual(Array.from({ length: 32 }, (_, i) => ({ n: i + 1 })));
  });

  it("stores of new records at the same time: none is lost and none is made twice", async () => {
    const another = s.client({ address: (await s.another()).address });
    await Promise.all(
      Array.from({ length: 24 }, (_, i) =>
        (i % 2 ? another : s.cortex).mutable.transaction([
          audit(`new-${i % 3}`, { i }),
          { op: "append", namespace: "ns", key: "log", value: i, createIfMissing: true },
        ]),
      ),
    );
    const all = (await Promise.all([0, 1, 2].map((i) => versions(`new-${i}`)))).flat();
    expect(all.map(({ i }) => i).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 24 }, (_, i) => i),
    );
    expect((await s.cortex.mutable.get("ns", "log")).sort((a: number, b: number) => a - b)).toEqual(
      Array.from({ length: 24 }, (_, i) => i),
    );
  });
});

describe("Transact", () => {
  const store = (id: string, data: string, more = {}) => ({
    operation: { case: "store" as const, value: { type: "audit", id, dataJson: data, ...more } },
  });
  const begun = async () => {
    const transaction = new RawTransaction(s.address);
    await transaction.ask({ case: "begin", value: {} });
    return transaction;
  };

  it("stores under its locks; nobody sees it before the commit, and others who store wait", async () => {
    const transaction = await begun();
    const written = await transaction.ask({
      case: "write",
      value: { operations: [store("tx", '{"n":1}'), store("tx", '{"n":2}')] },
    });
    expect(written).toMatchObject({
      value: {
        results: [
          { result: { value: { current: { version: 1 } } } },
          { result: { value: { current: { version: 2 } } } },
        ],
      },
    });
    expect(await versions("tx")).toEqual([]);
    const another = s.client({ address: (await s.another()).address });
    const waiting = [s.cortex, another].map((client) =>
      client.immutable.store({ type: "audit", id: "tx", data: { later: true } }),
    );
    // Other records can be stored meanwhile.
    await s.cortex.immutable.store({ type: "audit", id: "tx-other", data: {} });
    await transaction.ask({
      case: "write",
      value: { operations: [store("tx", '{"n":3}', { ifVersion: 2 })] },
    });
    expect(
      await transaction.ask({ case: "commit", value: { requestId: "tx-commit" } }),
    ).toMatchObject({
      case: "committed",
      value: { results: { length: 3 } },
    });
    const later = (await Promise.all(waiting)).map(({ version }) => version);
    expect(later.sort()).toEqual([4, 5]);
    transaction.close();
    const again = new RawTransaction(s.address);
    const asked = await again.ask({ case: "begin", value: { requestId: "tx-commit" } });
    expect(asked).toMatchObject({
      case: "committed",
      value: { results: [{ result: { value: { current: { dataJson: '{"n":1}' } } } }, {}, {}] },
    });
    again.close();
  });

  it("stores nothing if it is rolled back, or the connection goes", async () => {
    for (const end of ["rollback", "close"]) {
      const transaction = await begun();
      await transaction.ask({ case: "write", value: { operations: [store("gone", "{}")] } });
      if (end === "rollback") await transaction.ask({ case: "rollback", value: {} });
      transaction.close();
      expect(
        (await s.cortex.immutable.store({ type: "audit", id: "gone", data: { end } })).version,
      ).toBe(end === "rollback" ? 1 : 2);
    }
  });

  it("names the operation that fails by its index in the whole transaction", async () => {
    const transaction = await begun();
    await transaction.ask({ case: "write", value: { operations: [store("idx", "{}")] } });
    await expect(
      transaction.ask({
        case: "write",
        value: {
          operations: [
            { namespace: "ns", key: "idx", operation: { case: "set", value: { valueJson: "1" } } },
            store("idx", "{}", { ifVersion: 9 }),
          ],
        },
      }),
    ).rejects.toMatchObject({
      reason: "TRANSACTION_FAILED",
      details: { operation_index: "2", reason: "VERSION_MISMATCH", current_version: "1" },
    });
    expect(await versions("idx")).toEqual([]);
    transaction.close();
  });
});

describe("the versions of a transaction", () => {
  const store = (data: object, more = {}) => ({
    operation: {
      case: "store" as const,
      value: { type: "audit", id: "late", dataJson: JSON.stringify(data), ...more },
    },
  });
  const begun = async () => {
    const t = new RawTransaction(s.address);
    await t.ask({ case: "begin", value: {} });
    return t;
  };

  it("have the time of its commit, so an answer about the past stays", async () => {
    await s.cortex.immutable.store({
      type: "audit",
      id: "late",
      data: { n: 0 },
      metadata: { a: 1 },
    });
    const t = await begun();
    const written = await t.ask({
      case: "write",
      value: { operations: [store({ n: 1 }), store({ n: 2 }, { ifVersion: 2 })] },
    });
    const [first, second] = (written.value as TransactWritten).results.map(
      ({ result }) => result.value as Record,
    );
    expect(first?.current).toMatchObject({ version: 2, digest: "", metadataJson: '{"a":1}' });
    expect(second?.current).toMatchObject({ version: 3, digest: "", dataJson: '{"n":2}' });
    for (const record of [first, second]) expect(record?.current?.createTime).toBeUndefined();
    await pause(300);
    const [clock] = await s.sql`select date_trunc('milliseconds', clock_timestamp()) as now`;
    const between = new Date(clock?.now);
    const asOf = () => s.cortex.immutable.getAtTimestamp("audit", "late", between);
    expect((await asOf())?.version).toBe(1);
    await pause(5);
    const committed = await t.ask({ case: "commit", value: {} });
    const times = (committed.value as TransactCommitted).results.map(({ result }) => {
      const { current } = result.value as Record;
      expect(current?.digest).toMatch(/^[0-9a-f]{64}$/);
      return timestampDate(current?.createTime as Timestamp);
    });
    expect(Number(times[0])).toBeGreaterThan(Number(between));
    expect(Number(times[1])).toBeGreaterThan(Number(times[0]));
    expect((await asOf())?.version).toBe(1);
    const history = await s.cortex.immutable.getHistory("audit", "late");
    expect(history.map(({ createdAt }) => createdAt).slice(1)).toEqual(times);
    expect((await s.cortex.immutable.verifyHistory("audit", "late")).valid).toBe(true);
    t.close();
  });

  it("are refused at once, and those that a rollback drops leave nothing", async () => {
    for (const [more, reason] of [
      [{ ifVersion: 7 }, "VERSION_MISMATCH"],
      [{ userId: "nobody" }, "USER_NOT_FOUND"],
    ] as const) {
      const t = await begun();
      const operations = [store({ n: 3 }), store({ n: 4 }, more)];
      await expect(t.ask({ case: "write", value: { operations } })).rejects.toMatchObject({
        reason: "TRANSACTION_FAILED",
        details: { operation_index: "1", reason },
      });
      t.close();
    }
    const t = await begun();
    await t.ask({ case: "write", value: { operations: [store({ n: 5 })] } });
    await t.ask({ case: "rollback", value: {} });
    t.close();
    expect((await s.cortex.immutable.get("audit", "late"))?.version).toBe(3);
  });

  it("conflict with the erasure of their user", async () => {
    await s.cortex.users.create("leaving");
    const t = await begun();
    await t.ask({ case: "write", value: { operations: [store({ n: 6 }, { userId: "leaving" })] } });
    await s.cortex.users.delete("leaving", { cascade: true });
    await expect(t.ask({ case: "commit", value: {} })).rejects.toMatchObject({
      reason: "CONFLICT",
    });
    t.close();
  });
});
