// Locks that are held for long hold up only those who need them: not the other calls of a shared statement, not
// other tenants, not other servers.
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Cortex } from "../../client/index.js";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ transactionIdleSeconds: 20 });
let address: string;
let storming: Cortex;
let other: Cortex;
beforeAll(async () => {
  ({ address } = await s.another());
  storming = s.client({ tenantId: "storming" });
  other = s.client({ tenantId: "other" });
  await other.mutable.set("ns", "hot", 0);
});

const open: RawTransaction[] = [];
afterEach(() => {
  for (const transaction of open.splice(0)) transaction.close();
});

type Message = Parameters<RawTransaction["ask"]>[0];

/** Begins a transaction that stays open, by default on the second server. */
async function begun(message: Message, { tenant = "storming", at = address } = {}) {
  const transaction = new RawTransaction(at, { "x-tenant-id": tenant });
  open.push(transaction);
  await transaction.ask({ case: "begin", value: {} });
  await transaction.ask(message);
  return transaction;
}
const read = (keys: string[]): Message => ({
  case: "read",
  value: { keys: keys.map((key) => ({ namespace: "ns", key })) },
});
const set = (namespace: string, key: string) => ({
  namespace,
  key,
  operation: { case: "set" as const, value: { valueJson: "1" } },
});
const write = (...operations: object[]): Message => ({
  case: "write",
  value: { operations: operations as never[] },
});
const commit: Message = { case: "commit", value: {} };
const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

/** The other tenant works as if nothing were. Before, its calls took up to ten seconds. */
async function otherWorks(): Promise<void> {
  const quick = { timeoutMs: 1500 };
  for (let i = 0; i < 20; i++)
    await Promise.all([
      other.mutable.set("ns", `k${i % 4}`, i, quick),
      other.mutable.increment("ns", "hot", 1, quick),
      other.mutable.get("ns", "hot", quick),
      other.mutable.getRecord("ns", "hot", quick),
      other.immutable.store({ type: "t", id: `r${i % 4}`, data: { i } }, quick),
    ]);
}

/** How many backends of this database wait for a lock. */
const waiting = async () =>
  (
    await s.sql`
      select from pg_stat_activity a
      where a.datname = current_database() and exists (select from pg_locks l where l.pid = a.pid and not l.granted)`
  ).length;

/** How many advisory locks are held in this database. */
const advisoryLocks = async () =>
  (
    await s.sql`
      select from pg_locks l join pg_database d on d.oid = l.database
      where l.locktype = 'advisory' and d.datname = current_database()`
  ).length;

describe("calls that wait for locks of another server", () => {
  it("to create 400 keys that a transaction there found absent: others go on, and they too once it ends", async () => {
    const keys = names("absent", 400);
    const holder = await begun(read(keys));
    let written = 0;
    const sets = keys.map((key) => storming.mutable.set("ns", key, 1).then(() => written++));
    await pause(300);
    await otherWorks();
    expect(await waiting()).toBeLessThanOrEqual(4); // for a moment each
    expect(written).toBe(0);
    await holder.ask(commit);
    await Promise.all(sets);
    expect(await storming.mutable.count("ns", { keyPrefix: "absent-" })).toBe(400);
  });

  it("of ten rows: large writes of others go on", async () => {
    const rows = names("row", 5);
    const second = s.client({ tenantId: "second" });
    for (const client of [storming, second])
      await client.mutable.setMany(
        "ns",
        rows.map((key) => ({ key, value: 0 })),
      );
    const holders = await Promise.all([begun(read(rows)), begun(read(rows), { tenant: "second" })]);
    const sets = [storming, second].flatMap((client) =>
      rows.map((key) => client.mutable.set("ns", key, 2)),
    );
    await pause(300);
    const many = Object.fromEntries(names("many", 400).map((key) => [key, 1]));
    const third = s.client({ tenantId: "third" });
    for (let i = 0; i < 5; i++) await third.mutable.setMany("ns", many, { timeoutMs: 3000 });
    await otherWorks();
    for (const holder of holders) await holder.ask(commit);
    await Promise.all(sets);
    expect(await storming.mutable.getMany("ns", rows)).toEqual([2, 2, 2, 2, 2]);
  });

  it("of records that a transaction there is about to create", async () => {
    const ids = names("record", 40);
    const stores = ids.map((id) => ({
      operation: { case: "store" as const, value: { type: "t", id, dataJson: "{}" } },
    }));
    const holder = await begun(write(...stores));
    const stored = ids.map((id) =>
      storming.immutable.store({ type: "t", id, data: { from: "here" } }),
    );
    await pause(300);
    await otherWorks();
    await holder.ask(commit);
    expect((await Promise.all(stored)).map(({ version }) => version)).toEqual(ids.map(() => 2));
  });
});

it("a write gets its turn beside another server that takes the lock again and again", async () => {
  let isWritten = false;
  const taking = [0, 1].map(async () => {
    while (!isWritten) {
      const holder = await begun(read(["taken"]));
      await pause(30);
      await holder.ask(commit);
      holder.close();
    }
  });
  await pause(100);
  for (let i = 0; i < 3; i++) await storming.mutable.set("ns", "taken", i, { timeoutMs: 10_000 });
  isWritten = true;
  await Promise.all(taking);
});

it("a commit that relies on the absence of a key waits for who has listed the namespace", async () => {
  const holder = await begun({ case: "list", value: { namespace: "relied", limit: 10 } });
  const raw = new Raw(s.address);
  const relying = raw.call(
    MutableStore.method.commit,
    {
      preconditions: [
        { namespace: "relied", key: "k", condition: { case: "exists", value: false } },
      ],
      operations: [set("elsewhere", "k")],
    },
    { "x-tenant-id": "storming" },
  );
  await pause(300);
  expect(await storming.mutable.get("elsewhere", "k")).toBeNull();
  await holder.ask(write(set("relied", "k")));
  await holder.ask(commit);
  expect(await relying).toMatchObject({ reason: "TRANSACTION_FAILED" });
  raw.close();
});

it("a transaction that finds keys absent in a thousand namespaces is refused, and locks no more than it may", async () => {
  const absent = (from: number): Message => ({
    case: "read",
    value: { keys: names("n", 500).map((name) => ({ namespace: `${name}-${from}`, key: "k" })) },
  });
  const reader = await begun(absent(1));
  expect(await advisoryLocks()).toBeLessThanOrEqual(1024);
  await expect(reader.ask(absent(2))).rejects.toMatchObject({ reason: "INVALID_TRANSACTION" });
  await expect.poll(advisoryLocks).toBeLessThan(10);
});

it("a hundred writes that name a user who is locked hold up nobody else", async () => {
  await storming.users.create("leaving");
  const connection = await s.sql.reserve();
  await connection`begin`;
  await connection`select from users where tenant = 'storming' and id = 'leaving' for update`;
  let written = 0;
  const userId = "leaving";
  const writes = names("of-user", 100).map((key, i) => {
    const write =
      i % 2
        ? storming.mutable.set("ns", key, 1, { userId })
        : storming.immutable.store({ type: "t", id: key, data: { i }, userId });
    return (write as Promise<unknown>).then(() => written++);
  });
  await pause(300);
  await otherWorks();
  await storming.mutable.set("ns", "of-nobody", 1, { timeoutMs: 1500 });
  expect(written).toBe(0);
  await connection`commit`;
  connection.release();
  await Promise.all(writes);
});

describe("transactions that wait for their callers", () => {
  it("give way to a tenant that has none", async () => {
    const here = { at: s.address };
    const held = names("held", 6);
    const idle = await Promise.all(
      held.map((key, i) => begun(read([key]), { ...here, tenant: `idle-${i % 2}` })),
    );
    const startedAt = performance.now();
    const third = await begun(read(["x"]), { ...here, tenant: "third" });
    expect(performance.now() - startedAt).toBeLessThan(5000); // they may be idle for 20 s
    await third.ask(commit);
    const ends = await Promise.allSettled(idle.map((transaction) => transaction.ask(commit)));
    const failed = ends.flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
    expect(failed).toMatchObject([{ reason: "CONFLICT", details: { applied: "no" } }]);
  });

  it("stay where their tenant has its share", async () => {
    const here = { at: s.address };
    const idle = await Promise.all(
      names("own", 6).map((key, i) => begun(read([key]), { ...here, tenant: `share-${i}` })),
    );
    const third = begun(read(["x"]), { ...here, tenant: "third" });
    await pause(1500);
    await idle[0]?.ask(commit);
    await third;
    for (const transaction of idle.slice(1))
      expect((await transaction.ask(commit)).case).toBe("committed");
  });

  it("hold up no commit that stores a version", async () => {
    for (const [i, key] of names("held", 6).entries())
      await begun(read([key]), { at: s.address, tenant: `idle-${i < 5}` });
    await other.mutable.transaction(
      [
        { op: "set", namespace: "ns", key: "with", value: 1 },
        { op: "store", type: "t", id: "with", data: {} },
      ],
      { timeoutMs: 2000 },
    );
  });
});

describe("a transaction that lists a namespace while others create keys there", () => {
  const list = async (namespace: string) => {
    const transaction = new RawTransaction(s.address, { "x-tenant-id": "storming" });
    open.push(transaction);
    await transaction.ask({ case: "begin", value: {} });
    const answer = await transaction.ask({ case: "list", value: { namespace, limit: 1000 } });
    await transaction.ask(commit);
    if (answer.case !== "list") throw new Error(answer.case);
    return answer.value.records.map(({ key }) => key);
  };

  it("waits for who has created one, and lets others create meanwhile", async () => {
    const holder = await begun(write(set("listed", "first")));
    const listing = list("listed");
    await pause(200);
    for (const key of names("created", 20))
      await storming.mutable.set("listed", key, 1, { timeoutMs: 1500 });
    await holder.ask(commit);
    expect(await listing).toHaveLength(21);
  });

  it("waits for the transaction that lists it, also if that one creates a key there later", async () => {
    const lists = { case: "list" as const, value: { namespace: "two", limit: 10 } };
    const holder = await begun(lists);
    const listing = list("two");
    await pause(2500); // by now the second one waits in the queue
    await holder.ask(write(set("two", "late")));
    await holder.ask(commit);
    expect(await listing).toEqual(["late"]);
  });

  it("gets its turn beside transactions of which one is always open", async () => {
    let isListed = false;
    const create = async (name: string, startMs: number) => {
      await pause(startMs);
      for (let i = 0; !isListed; i++) {
        const transaction = await begun(write(set("busy", `${name}-${i}`)));
        await pause(300);
        await transaction.ask(commit);
      }
    };
    const creators = [create("a", 0), create("b", 100), create("c", 200)];
    await pause(400);
    const keys = await list("busy");
    isListed = true;
    expect(keys.length).toBeGreaterThan(3);
    await Promise.all(creators);
  });
});
