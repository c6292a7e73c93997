import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { MutableStore, type Operation } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { cleanEnvironment, root } from "../support/process.js";
import { type Failure, Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ transactionsMax: 4, transactionIdleSeconds: 1.5, transactionSeconds: 4 });

const open: RawTransaction[] = [];
afterEach(() => {
  for (const transaction of open.splice(0)) transaction.close();
});

async function begun(value: { timeoutSeconds?: number; requestId?: string } = {}) {
  const transaction = new RawTransaction(s.address);
  open.push(transaction);
  expect((await transaction.ask({ case: "begin", value })).case).toBe("begun");
  return transaction;
}

const place = (key: string, namespace = "ns") => ({ namespace, key });
const read = (...keys: string[]) =>
  ({ case: "read", value: { keys: keys.map((key) => place(key)) } }) as const;
const put = (key: string, value: unknown) => ({
  ...place(key),
  operation: { case: "set" as const, value: { valueJson: JSON.stringify(value) } },
});
const add = (key: string) => ({
  ...place(key),
  operation: { case: "increment" as const, value: {} },
});
type Op = ReturnType<typeof put> | ReturnType<typeof add> | Partial<Operation>;
const write = (...operations: Op[]) =>
  ({ case: "write", value: { operations: operations as never[] } }) as const;
const list = (namespace: string, keyPrefix?: string, limit?: number) =>
  ({
    case: "list",
    value: {
      namespace,
      ...(keyPrefix !== undefined && { keyPrefix }),
      ...(limit !== undefined && { limit }),
    },
  }) as const;
const commit = { case: "commit", value: {} } as const;
const rollback = { case: "rollback", value: {} } as const;

const seen = async (transaction: RawTransaction, ...keys: string[]) => {
  const answer = await transaction.ask(read(...keys));
  if (answer.case !== "read") throw new Error(answer.case);
  return answer.value.results.map(({ record }) => (record ? JSON.parse(record.valueJson) : null));
};
const listed = async (transaction: RawTransaction, ...args: Parameters<typeof list>) => {
  const answer = await transaction.ask(list(...args));
  if (answer.case !== "list") throw new Error(answer.case);
  return answer.value.records.map(({ key }) => key);
};
const failing = (answer: Promise<unknown>): Promise<Failure> =>
  answer.then(
    (value) => {
      throw new Error(`no failure but ${JSON.stringify(value)}`);
    },
    (failure: Failure) => failure,
  );
/** Returns whether the promise is still pending after `ms` milliseconds. */
const pending = async (work: Promise<unknown>, ms = 150) =>
  (await Promise.race([work.then(() => "done"), pause(ms, "pending")])) === "pending";
const connections = async () =>
  (
    await s.sql`select from pg_stat_activity where datname = current_database() and application_name = 'cortex-store'
      and state like 'idle in transaction%'`
  ).length;
describe("a transaction", () => {
  it("sees its own writes, and nobody else does before it commits", async () => {
    await s.cortex.mutable.set("ns", "own", 1);
    const t = await begun();
    expect(await seen(t, "own", "own-new")).toEqual([1, null]);
    const written = await t.ask(write(put("own-new", "x"), add("own"), add("own")));
    expect(written.case === "written" && written.value.results).toHaveLength(3);
    expect(await seen(t, "own", "own-new")).toEqual([3, "x"]);
    expect(await listed(t, "ns", "own")).toEqual(["own", "own-new"]);
    expect(await s.cortex.mutable.getMany("ns", ["own", "own-new"])).toEqual([1, null]);
    const done = await t.ask(commit);
    expect(done.case === "committed" && done.value.results).toHaveLength(3);
    expect(await t.next()).toBeUndefined(); // the stream ends
    expect(await s.cortex.mutable.getMany("ns", ["own", "own-new"])).toEqual([3, "x"]);
  });

  it("that reads only, or does nothing at all, commits too", async () => {
    const t = await begun();
    expect(await seen(t, "nothing-here")).toEqual([null]);
    expect((await t.ask(commit)).case).toBe("committed");
    expect((await (await begun()).ask(commit)).case).toBe("committed");
    expect((await s.sql`select from mutable where key = 'nothing-here'`).length).toBe(0);
  });

  it("rolls back on rollback: nothing of it is left", async () => {
    const t = await begun();
    await t.ask(write(put("rolled", 1)));
    expect((await t.ask(rollback)).case).toBe("rolledBack");
    expect(await t.next()).toBeUndefined();
    expect(await s.cortex.mutable.exists("ns", "rolled")).toBe(false);
    expect((await s.cortex.mutable.set("ns", "rolled", 2)).value).toBe(2);
  });

  it("fails as a whole if a write fails, and names its index among all operations", async () => {
    await s.cortex.mutable.set("ns", "text", "t");
    const t = await begun();
    await t.ask(write(put("partly", 1), put("partly-2", 1)));
    const failure = await failing(t.ask(write(put("partly-3", 1), add("text"))));
    expect(failure).toMatchObject({
      status: 9,
      reason: "TRANSACTION_FAILED",
      details: { operation_index: "3", reason: "VALUE_NOT_NUMERIC", key: "text" },
    });
    expect(await s.cortex.mutable.count("ns", { keyPrefix: "partly" })).toBe(0);
    expect((await s.cortex.mutable.set("ns", "text", "free")).value).toBe("free");
  });
});

describe("what a transaction has read", () => {
  it("nobody changes until it ends: writers wait, readers see it as it was", async () => {
    await s.cortex.mutable.set("ns", "held", 1);
    const t = await begun();
    await seen(t, "held");
    const writers = [
      s.cortex.mutable.increment("ns", "held"),
      s.cortex.mutable.merge("ns", "held-else", {}, { createIfMissing: true }),
    ] as const;
    await writers[1]; // a writer of another key does not wait
    expect(await pending(writers[0])).toBe(true);
    expect(await s.cortex.mutable.get("ns", "held")).toBe(1);
    await t.ask(write(put("held", 10)));
    await t.ask(commit);
    expect((await writers[0]).value).toBe(11);
  });

  it("nobody creates meanwhile, where it was absent, here or on another server", async () => {
    const other = s.client({ address: (await s.another()).address });
    for (const client of [s.cortex, other])
      for (const ending of [commit, rollback]) {
        const key = `absent-${ending.case}-${client === other}`;
        const t = await begun();
        expect(await seen(t, key)).toEqual([null]);
        const creator = client.mutable.set("ns", key, "theirs", { ifAbsent: true });
        expect(await pending(creator)).toBe(true);
        expect(await client.mutable.exists("ns", key)).toBe(false);
        await t.ask(ending);
        expect((await creator).value).toBe("theirs");
      }
    const t = await begun();
    await seen(t, "absent-mine");
    const creator = s.cortex.mutable.set("ns", "absent-mine", 2, { ifAbsent: true });
    const outcome = expect(creator).toFailWith("KEY_EXISTS");
    await t.ask(write(put("absent-mine", 1)));
    await t.ask(commit);
    await outcome;
  });

  it("nobody changes on another server either", async () => {
    const other = s.client({ address: (await s.another()).address });
    await s.cortex.mutable.set("ns", "elsewhere-held", 1);
    const t = await begun();
    expect(await seen(t, "elsewhere-held")).toEqual([1]);
    const writer = other.mutable.increment("ns", "elsewhere-held");
    expect(await pending(writer)).toBe(true);
    expect(await other.mutable.get("ns", "elsewhere-held")).toBe(1);
    await t.ask(write(put("elsewhere-held", 10)));
    await t.ask(commit);
    expect((await writer).value).toBe(11);
  });

  it("no other transaction reads meanwhile: transfers lose nothing", async () => {
    await s.cortex.mutable.set("ns", "balance", 0);
    await Promise.all(
      Array.from({ length: 12 }, async () => {
        const t = await begun();
        const [balance] = await seen(t, "balance");
        await t.ask(write(put("balance", balance + 1)));
        await t.ask(commit);
      }),
    );
    expect(await s.cortex.mutable.get("ns", "balance")).toBe(12);
  });
});

describe("what a transaction has listed", () => {
  it("stays as it is: nobody creates, changes or deletes, here or on another server", async () => {
    const other = s.client({ address: (await s.another()).address });
    await s.cortex.mutable.setMany("phantoms", { "p:1": 1, "p:2": 2, "q:1": 3 });
    const t = await begun();
    expect(await listed(t, "phantoms", "p:")).toEqual(["p:1", "p:2"]);
    const rivals = [
      s.cortex.mutable.set("phantoms", "p:3", 1),
      other.mutable.set("phantoms", "p:4", 1),
      other.mutable.increment("phantoms", "p:5", 1, { createIfMissing: true }),
      s.cortex.mutable.delete("phantoms", "p:1"),
      other.mutable.increment("phantoms", "p:2"),
    ];
    for (const rival of rivals) expect(await pending(rival, 50)).toBe(true);
    expect((await other.mutable.increment("phantoms", "q:1")).value).toBe(4); // outside of the listed prefix
    expect(await listed(t, "phantoms", "p:")).toEqual(["p:1", "p:2"]);
    await t.ask(commit);
    await Promise.all(rivals);
    expect((await s.cortex.mutable.list("phantoms")).records.map(({ key }) => key)).toEqual([
      "p:2",
      "p:3",
      "p:4",
      "p:5",
      "q:1",
    ]);
  });

  it("is complete: if there are more entries than the limit, the list fails", async () => {
    await s.cortex.mutable.setMany("full", { a: 1, b: 2, c: 3 });
    const t = await begun();
    expect(await listed(t, "full", undefined, 3)).toEqual(["a", "b", "c"]);
    expect(await failing(t.ask(list("full", undefined, 2)))).toMatchObject({
      reason: "REPLY_TOO_LARGE",
    });
  });

  it("of an empty namespace keeps it empty", async () => {
    const t = await begun();
    expect(await listed(t, "empty")).toEqual([]);
    const rival = s.cortex.mutable.set("empty", "k", 1);
    expect(await pending(rival)).toBe(true);
    await t.ask(write({ ...put("k", "ours"), namespace: "empty" }));
    await t.ask(commit);
    expect((await rival).value).toBe(1);
  });
});

describe("a transaction that ends without a commit leaves its locks within a second", () => {
  const ended = async (key: string, end: (t: RawTransaction) => unknown) => {
    await s.cortex.mutable.set("ns", key, 1);
    const t = await begun();
    await seen(t, key, `${key}-absent`);
    await t.ask(write(put(key, 2), put(`${key}-absent`, 2)));
    expect(await connections()).toBeGreaterThan(0);
    const start = performance.now();
    await end(t);
    expect((await s.cortex.mutable.increment("ns", key)).value).toBe(2);
    expect(performance.now() - start).toBeLessThan(1000);
    expect(await s.cortex.mutable.exists("ns", `${key}-absent`)).toBe(false);
    expect(await connections()).toBe(0);
  };

  it("when its caller cancels", () => ended("cancelled", (t) => t.stream.cancel()));

  it("when its caller's process is killed", async () => {
    await s.cortex.mutable.set("ns", "killed", 1);
    const holder = spawn(
      process.execPath,
      ["--import", "tsx", join(root, "test/support/holder.ts"), s.address, "killed", "killed-too"],
      { stdio: ["ignore", "pipe", "inherit"], env: cleanEnvironment() },
    );
    await once(holder.stdout, "data");
    const waiter = s.cortex.mutable.increment("ns", "killed");
    expect(await pending(waiter)).toBe(true);
    holder.kill("SIGKILL");
    const start = performance.now();
    expect((await waiter).value).toBe(2);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it("when its caller ends its side", () =>
    ended("halved", async (t) => {
      t.stream.end();
      expect(await failing(t.next())).toMatchObject({ reason: "INVALID_TRANSACTION" });
    }));

  it.each([
    ["begins twice", { case: "begin", value: {} } as const, "INVALID_TRANSACTION"],
    ["sends an empty message", { case: undefined } as never, "INVALID_TRANSACTION"],
    ["reads no keys", read(), "INVALID_OPERATIONS"],
    ["reads a bad key", read("\n"), "INVALID_KEY"],
    ["writes nothing", write(), "INVALID_OPERATIONS"],
    ["writes nonsense", write({ ...place("k") }), "INVALID_OPERATIONS"],
    ["lists an empty prefix", list("ns", ""), "INVALID_FILTER"],
    ["lists too many", list("ns", undefined, 1001), "INVALID_LIMIT"],
  ])("when its caller %s", (name, message, reason) =>
    ended(name.replaceAll(" ", "-"), async (t) => {
      expect(await failing(t.ask(message))).toMatchObject({ reason });
    }),
  );

  it("when its deadline passes", async () => {
    await s.cortex.mutable.set("ns", "late", 1);
    const t = new RawTransaction(s.address, {}, { deadline: new Date(Date.now() + 300) });
    open.push(t);
    await t.ask({ case: "begin", value: {} });
    await seen(t, "late");
    expect(await failing(t.next())).toMatchObject({ status: 4 });
    expect((await s.cortex.mutable.increment("ns", "late", 1, { timeoutMs: 1000 })).value).toBe(2);
  });

  it("while it waits for a lock itself", async () => {
    const [first, second] = [await begun(), await begun()];
    await seen(first, "chain-a");
    await seen(second, "chain-b");
    second.send(read("chain-a")); // waits in the database, with a lock of its own
    await pause(100);
    second.stream.cancel();
    expect((await s.cortex.mutable.set("ns", "chain-b", 1, { timeoutMs: 1000 })).value).toBe(1);
    await first.ask(commit);
  });
});

describe("time", () => {
  it("is limited between messages", async () => {
    const t = await begun();
    await seen(t, "idle");
    const start = performance.now();
    expect(await failing(t.next())).toMatchObject({
      status: 4,
      reason: "TRANSACTION_TIMEOUT",
      details: { limit: "1.5" },
    });
    expect(performance.now() - start).toBeGreaterThan(1000);
    expect((await s.cortex.mutable.set("ns", "idle", 1)).value).toBe(1);
  });

  it("is limited in all, by the caller or by the server", async () => {
    for (const [timeoutSeconds, limit] of [
      [0.4, "0.4"],
      [undefined, "4"],
    ] as const) {
      const t = await begun(timeoutSeconds === undefined ? {} : { timeoutSeconds });
      const failure = await failing(
        (async () => {
          for (;;) {
            await seen(t, "total");
            await pause(100);
          }
        })(),
      );
      expect(failure).toMatchObject({ reason: "TRANSACTION_TIMEOUT", details: { limit } });
    }
    for (const timeoutSeconds of [0, -1, 4.1, Number.NaN])
      expect(
        await failing(
          (() => {
            const t = new RawTransaction(s.address);
            open.push(t);
            return t.ask({ case: "begin", value: { timeoutSeconds } });
          })(),
        ),
      ).toMatchObject({ reason: "INVALID_OPTIONS" });
  });
});

describe("waiting", () => {
  it("for a key is in order, in memory, without a connection", async () => {
    const first = await begun();
    await seen(first, "queue");
    const order: number[] = [];
    const waiters = Array.from({ length: 10 }, async (_, i) => {
      await pause(i * 10);
      const t = await begun();
      const [value] = await seen(t, "queue");
      order.push(i);
      await t.ask(write(put("queue", (value ?? 0) + 1)));
      await t.ask(commit);
    });
    await pause(300);
    expect(await connections()).toBe(1); // that of `first`; the waiting calls have none
    expect((await s.cortex.mutable.set("ns", "elsewhere", 1)).value).toBe(1);
    await first.ask(rollback);
    await Promise.all(waiters);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await s.cortex.mutable.get("ns", "queue")).toBe(10);
  });

  it("for each other in a circle ends fast: one fails with CONFLICT, the other commits", async () => {
    const [a, b] = [await begun(), await begun()];
    await seen(a, "circle-1");
    await seen(b, "circle-2");
    const start = performance.now();
    const outcomes = await Promise.allSettled([seen(a, "circle-2"), seen(b, "circle-1")]);
    expect(performance.now() - start).toBeLessThan(900);
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(lost.map(({ reason }) => reason)).toMatchObject([{ status: 10, reason: "CONFLICT" }]);
    const winner = outcomes[0]?.status === "fulfilled" ? a : b;
    expect((await winner.ask(commit)).case).toBe("committed");
  });

  it("for a connection happens if there are more transactions than connections: none is refused", async () => {
    const transactions = await Promise.all(Array.from({ length: 12 }, () => begun()));
    await Promise.all(
      transactions.map(async (t, i) => {
        await t.ask(write(put(`many-${i}`, i)));
        expect(await connections()).toBeLessThanOrEqual(4);
        await t.ask(commit);
      }),
    );
    expect(await s.cortex.mutable.count("ns", { keyPrefix: "many-" })).toBe(12);
  });
});

describe("a request id", () => {
  it("tells whether a commit whose answer was lost was made", async () => {
    const t = await begun();
    await t.ask(write(put("asked", 1), add("asked")));
    await t.ask({ case: "commit", value: { requestId: "tx-1" } });
    const again = new RawTransaction(s.address);
    open.push(again);
    const answer = await again.ask({ case: "begin", value: { requestId: "tx-1" } });
    expect(answer.case).toBe("committed");
    const results = answer.case === "committed" ? answer.value.results : [];
    expect(results.map(({ result }) => result.case === "record" && result.value.valueJson)).toEqual(
      ["1", "2"],
    );
    expect(await again.next()).toBeUndefined();
  });

  it("commits once: the same transaction again gets the stored results, another one fails", async () => {
    const committed = async (...messages: Parameters<typeof write>[]) => {
      const t = await begun();
      for (const operations of messages) await t.ask(write(...operations));
      return t.ask({ case: "commit", value: { requestId: "tx-2" } });
    };
    const first = await committed([put("once", 1), put("twice", 2)]);
    expect(first.case).toBe("committed");
    await s.cortex.mutable.set("ns", "once", 5);
    // However its operations are spread over messages.
    expect(await committed([put("once", 1)], [put("twice", 2)])).toEqual(first);
    for (const other of [
      [put("once", 2), put("twice", 2)],
      [put("once", 1)],
      [put("twice", 2), put("once", 1)],
    ])
      expect(await failing(committed(other))).toMatchObject({ reason: "REQUEST_ID_REUSED" });
    expect(await s.cortex.mutable.get("ns", "once")).toBe(5);
  });

  it("under which nothing was committed begins a new transaction", async () => {
    const t = await begun({ requestId: "tx-new" });
    expect((await t.ask(commit)).case).toBe("committed");
  });
});

describe("an entry that a transaction has seen, and that expires before the commit,", () => {
  it.each(["read", "list"])("makes it a conflict: by %s", async (how) => {
    await s.cortex.mutable.set("lease", "mine", 1, { ttlSeconds: 0.4 });
    const t = await begun();
    const seen =
      how === "read"
        ? await t.ask({ case: "read", value: { keys: [{ namespace: "lease", key: "mine" }] } })
        : await t.ask({ case: "list", value: { namespace: "lease" } });
    expect(
      JSON.stringify(seen, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
    ).toContain('"mine"');
    await t.ask(write(put("guarded", 1)));
    await pause(500);
    expect(await failing(t.ask(commit))).toMatchObject({ reason: "CONFLICT" });
    expect(await s.cortex.mutable.exists("ns", "guarded")).toBe(false);
  });

  it("makes it a conflict: by a precondition of a commit that waits for a record", async () => {
    await s.cortex.immutable.store({ type: "t", id: "held", data: {} });
    await s.cortex.mutable.set("lease", "mine", 1, { ttlSeconds: 1 });
    const holder = await s.sql.reserve();
    await holder`begin`;
    await holder`select from immutable where id = 'held' for update`;
    const raw = new Raw(s.address);
    const committed = raw.call(
      MutableStore.method.commit,
      {
        preconditions: [
          { namespace: "lease", key: "mine", condition: { case: "exists", value: true } },
        ],
        operations: [
          { operation: { case: "store", value: { type: "t", id: "held", dataJson: "{}" } } },
        ],
      },
      {},
    );
    await pause(1100);
    await holder`rollback`;
    holder.release();
    expect(await committed).toMatchObject({ reason: "TRANSACTION_FAILED" });
    raw.close();
    expect((await s.cortex.immutable.get("t", "held"))?.version).toBe(1);
  });

  it.each([
    { case: "increment", value: {} },
    { case: "replace", value: { valueJson: "2" } },
    { case: "set", value: { valueJson: "2" } }, // inherits metadata, user and createdAt
    { case: "delete", value: {} },
  ] as const)("makes it a conflict: by an operation, $case", async (operation) => {
    await s.cortex.mutable.set("lease", "changed", 1, { ttlSeconds: 0.5 });
    const t = await begun();
    await t.ask(write({ namespace: "lease", key: "changed", operation } as never));
    await pause(600);
    expect(await failing(t.ask(commit))).toMatchObject({ reason: "CONFLICT" });
  });

  it("does not disturb one that commits in time", async () => {
    await s.cortex.mutable.set("lease", "long", 1, { ttlSeconds: 60 });
    const t = await begun();
    await t.ask({ case: "read", value: { keys: [{ namespace: "lease", key: "long" }] } });
    await t.ask(write(put("guarded", 1)));
    expect((await t.ask(commit)).case).toBe("committed");
  });
});
