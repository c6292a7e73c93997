// Cuts connections at the worst moments, both between the server and Postgres and between a client and the
// server.
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { Cortex, type CortexError } from "../../client/index.js";
import { type Config, defaults } from "../../server/config/config.js";
import { start } from "../../server/start.js";
import { proxyToPostgres, proxyToServer } from "../support/proxy.js";
import { type Failure, RawTransaction } from "../support/raw.js";
import { serve, testLog } from "../support/server.js";

const s = serve({ transactionsMax: 2, poolSize: 4 });
const cleanups: (() => unknown)[] = [];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

const put = (key: string, value: unknown) => ({
  namespace: "ns",
  key,
  operation: { case: "set" as const, value: { valueJson: JSON.stringify(value) } },
});
const begin = { case: "begin", value: {} } as const;
const write = (...operations: object[]) =>
  ({ case: "write", value: { operations: operations as never[] } }) as const;
const read = (key: string) => ({
  case: "read" as const,
  value: { keys: [{ namespace: "ns", key }] },
});
const commit = (requestId?: string) =>
  ({ case: "commit", value: requestId ? { requestId } : {} }) as const;
const failing = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (failure: Failure) => failure,
  );

/** Starts a server that reaches Postgres through a proxy. */
async function behindProxy(parameters = "", settings: Partial<Config> = {}) {
  const { proxy, url } = await proxyToPostgres(s.databaseUrl);
  const config = { ...defaults, listen: "127.0.0.1:0", drainSeconds: 1, transactionsMax: 1 };
  const running = await start({ ...config, ...settings }, url + parameters, testLog);
  cleanups.push(() => proxy.close());
  cleanups.push(() => running.stop());
  const transaction = () => {
    const made = new RawTransaction(running.address);
    cleanups.push(() => made.close());
    return made;
  };
  return { proxy, transaction, running };
}

/** Delays every commit that writes to the namespace. */
async function slowCommits(namespace: string, seconds: number) {
  const name = namespace.replaceAll("-", "_");
  await s.sql.unsafe(`
    create function slow_${name}() returns trigger language plpgsql as $$
    begin
      begin perform pg_sleep(${seconds}); exception when query_canceled then null; end;
      return null;
    end $$;
    create constraint trigger slow_${name} after insert or update on mutable deferrable initially deferred
      for each row when (new.namespace = '${namespace}' and new.value::text <> '"seed"') execute function slow_${name}()`);
  return () => s.sql.unsafe(`drop trigger slow_${name} on mutable; drop function slow_${name}`);
}

describe("a transaction whose connection to Postgres is lost", () => {
  it("while a statement waits has changed nothing, also later", async () => {
    await s.cortex.mutable.set("ns", "waits", "before");
    const { proxy, transaction } = await behindProxy();
    let answer: Promise<Failure | undefined> | undefined;
    await s.sql.begin(async (tx) => {
      await tx`select from mutable where key = 'waits' for update`;
      const t = transaction();
      await t.ask(begin);
      answer = failing(t.ask(write(put("waits", "leaked"), put("waits-2", "leaked"))));
      await pause(300);
      proxy.cut();
      expect(await answer).toMatchObject({
        reason: "DATABASE_UNAVAILABLE",
        details: { applied: "no" },
      });
      await pause(200);
    });
    await pause(300);
    expect(await s.cortex.mutable.getMany("ns", ["waits", "waits-2"])).toEqual(["before", null]);
  });

  it("between its statements writes nothing any more", async () => {
    const { proxy, transaction } = await behindProxy();
    const t = transaction();
    await t.ask(begin);
    await t.ask(write(put("between-1", 1)));
    proxy.cut();
    await pause(100);
    const failure = await failing(t.ask(write(put("between-2", 1))));
    expect(failure).toMatchObject({ reason: "DATABASE_UNAVAILABLE", details: { applied: "no" } });
    await pause(100);
    expect(await s.cortex.mutable.getMany("ns", ["between-1", "between-2"])).toEqual([null, null]);
  });

  it("before the reply is stored is not reported as committed", async () => {
    const { proxy, transaction } = await behindProxy();
    const t = transaction();
    await t.ask(begin);
    await t.ask(read("absent"));
    await t.ask(write(put("phantom", 1)));
    proxy.onSend = (data) => {
      if (!data.includes("insert into request")) return false;
      proxy.onSend = undefined;
      proxy.cut();
      return true;
    };
    const failure = await failing(t.ask(commit("phantom")));
    expect(failure).toMatchObject({ reason: "DATABASE_UNAVAILABLE", details: { applied: "no" } });
    await pause(300);
    const again = transaction();
    const answer = await again.ask({ case: "begin", value: { requestId: "phantom" } });
    expect(answer.case).toBe("begun");
    expect(await s.cortex.mutable.exists("ns", "phantom")).toBe(false);
  });

  it("never loses it because of max_lifetime: every acknowledged write is there", async () => {
    const { transaction } = await behindProxy("?max_lifetime=1");
    const acknowledged: string[] = [];
    const end = performance.now() + 4000;
    for (let i = 0; performance.now() < end; i++) {
      const t = transaction();
      await t.ask(begin);
      await t.ask(write(put(`aged-${i}-a`, i)));
      await t.ask(write(put(`aged-${i}-b`, i)));
      await t.ask(commit());
      acknowledged.push(`aged-${i}-a`, `aged-${i}-b`);
      t.close();
    }
    const found = await s.sql`select key from mutable where key like 'aged-%'`;
    expect(found.length).toBe(acknowledged.length);
  });
});

it("a commit that takes longer than the transaction's timeout, or that a stop of the server cuts off, is never reported as not applied", async () => {
  const fast = await slowCommits("slow-commit", 0.3);
  for (const [timeoutSeconds, stop] of [
    [0.25, false],
    [5, true],
  ] as const) {
    const key = `k-${stop}`;
    const server = await s.another({ drainSeconds: 0 });
    const t = new RawTransaction(server.address);
    await t.ask({ case: "begin", value: { timeoutSeconds } });
    await t.ask(write({ ...put(key, 1), namespace: "slow-commit" }));
    const answer = t.ask(commit()).then(
      ({ case: kind }) => kind,
      (failure: Failure) => failure,
    );
    await pause(50);
    if (stop) await server.stop();
    const told = await answer;
    await pause(500);
    const applied = await s.cortex.mutable.exists("slow-commit", key);
    if (told !== "committed") expect((told as Failure).details?.applied ?? "").not.toBe("no");
    if (!stop) expect([told, applied]).toEqual(["committed", true]);
    t.close();
  }
  await fast();
});

describe("beside a transaction on another server", () => {
  it("that deletes and creates a key again, a write finds it", async () => {
    const other = s.client({ address: (await s.another()).address });
    await s.cortex.mutable.set("ns", "anew", 1);
    const t = new RawTransaction(s.address);
    await t.ask(begin);
    await t.ask(read("anew"));
    const increment = other.mutable.increment("ns", "anew");
    await pause(100);
    await t.ask(write({ namespace: "ns", key: "anew", operation: { case: "delete", value: {} } }));
    await t.ask(write(put("anew", 7)));
    await t.ask(commit());
    expect((await increment).value).toBe(8);
    t.close();
  });

  it("a write that waits for a lock takes no connection of transactions, and a purge that waits takes none of lists", async () => {
    await s.cortex.mutable.setMany("ns", { "held-1": 1, "held-2": 1, free: 1 });
    await s.cortex.mutable.set("purged", "k", 1);
    await s.sql.begin(async (tx) => {
      await tx`select from mutable where key in ('held-1', 'held-2') or namespace = 'purged' for update`;
      const waiting = [
        s.cortex.mutable.increment("ns", "held-1"),
        s.cortex.mutable.increment("ns", "held-2"),
        s.cortex.mutable.purgeNamespace("purged"),
        s.cortex.mutable.purgeNamespace("purged"),
      ];
      await pause(200);
      const t = new RawTransaction(s.address);
      await t.ask(begin);
      await t.ask(write(put("free", 2)));
      expect((await t.ask(commit())).case).toBe("committed");
      t.close();
      expect(await s.cortex.mutable.count("ns", { keyPrefix: "free" })).toBe(1);
      void Promise.all(waiting);
    });
    expect(await s.cortex.mutable.get("ns", "free")).toBe(2);
  });

  it("a write judges expiry when it has the lock", async () => {
    await s.cortex.mutable.set("ns", "lease", "old", { ttlSeconds: 0.3 });
    let taken: Promise<{ value: unknown }> | undefined;
    await s.sql.begin(async (tx) => {
      await tx`select from mutable where key = 'lease' for update`;
      taken = s.cortex.mutable.set("ns", "lease", "new", { ifAbsent: true });
      await pause(600);
    });
    expect((await taken)?.value).toBe("new");
    expect(await s.cortex.mutable.get("ns", "lease")).toBe("new");
  });
});

describe("replies that would be too large", () => {
  it("are refused before most of it is computed, and by Transact while it can be rolled back", async () => {
    await s.cortex.mutable.set("ns", "large", ["x".repeat(900_000)]);
    const append = {
      namespace: "ns",
      key: "large",
      operation: { case: "append" as const, value: { valueJson: "1" } },
    };
    const start = performance.now();
    await expect(
      s.cortex.mutable.transaction(
        Array.from({ length: 500 }, () => ({
          op: "append",
          namespace: "ns",
          key: "large",
          value: 1,
        })),
        { timeoutMs: 60_000 },
      ),
    ).toFailWith("TRANSACTION_FAILED", { reason: "REPLY_TOO_LARGE" });
    expect(performance.now() - start).toBeLessThan(10_000); // before the fix: 22 s and half a gigabyte
    const t = new RawTransaction(s.address);
    await t.ask(begin);
    const failure = await failing(
      (async () => {
        for (let i = 0; i < 20; i++) await t.ask(write(append));
      })(),
    );
    expect(failure).toMatchObject({ reason: "REPLY_TOO_LARGE" });
    expect(await s.cortex.mutable.get("ns", "large")).toHaveLength(1);
    t.close();
  });
});

describe("updates of one client to one key", () => {
  const outcome = (work: Promise<{ value: unknown }>) =>
    work.then(
      ({ value }) => value,
      (error: CortexError) => error.code,
    );

  it("whose commit may have been made are not made again; the short timeout of one does not end the others", async () => {
    await s.cortex.mutable.set("line", "n", 0);
    const proxy = await proxyToServer(s.address);
    await using cortex = new Cortex({ address: `127.0.0.1:${proxy.port}`, timeoutMs: 5000 });
    const outcomes = Promise.all([
      outcome(
        cortex.mutable.update<number>(
          "line",
          "n",
          (n) => {
            proxy.hold(); // delays the reply of the commit
            return n + 1;
          },
          { timeoutMs: 300 },
        ),
      ),
      outcome(cortex.mutable.update<number>("line", "n", (n) => n + 10)),
      outcome(cortex.mutable.update<number>("line", "n", (n) => n + 100)),
    ]);
    await pause(700);
    proxy.release();
    expect(await outcomes).toEqual(["DEADLINE_EXCEEDED", 11, 111]);
    expect(await s.cortex.mutable.get("line", "n")).toBe(111);
    proxy.close();
  });

  it("do not suffer from one whose value is too large, or whose updater throws an object without a message", async () => {
    const large = "x".repeat(1024 * 1024 + 1);
    await s.cortex.mutable.set("line", "mixed", 0);
    const { mutable } = s.cortex;
    const update = (updater: (n: number) => unknown) =>
      outcome(mutable.update("line", "mixed", updater as never));
    expect(
      await Promise.all([
        update((n) => n + 1),
        update(() => large),
        update(() => {
          throw Object.create(null);
        }),
        update((n) => n + 1),
        // biome-ignore lint/suspicious/noThenProperty: the client awaits any object that has a `then`
        update(() => ({ then: (resolve: (n: number) => void) => resolve(10) })),
      ]),
    ).toEqual([1, "VALUE_TOO_LARGE", "UPDATE_FAILED", 2, 10]);
  });

  it("all fail within their own timeout if no server answers", async () => {
    const proxy = await proxyToServer(s.address);
    const cortex = new Cortex({ address: `127.0.0.1:${proxy.port}`, timeoutMs: 400 });
    proxy.close();
    const start = performance.now();
    const all = Array.from({ length: 20 }, () =>
      outcome(cortex.mutable.update("line", "k", (n) => n)),
    );
    for (const one of await Promise.all(all))
      expect(["UNAVAILABLE", "DEADLINE_EXCEEDED"]).toContain(one);
    expect(performance.now() - start).toBeLessThan(2000);
    await cortex.close();
  });
});

describe("under locks, where the connection is lost while the commit is on its way", () => {
  it("an update and a transaction are made once, and reported as made", async () => {
    const fast = await slowCommits("slow-lock", 0.8);
    const proxy = await proxyToServer(s.address);
    const cortex = new Cortex({ address: `127.0.0.1:${proxy.port}`, timeoutMs: 20_000 });
    const rival = s.client();
    for (const [name, work] of [
      [
        "update",
        (make: (n: number) => number) =>
          cortex.mutable.update<number>("slow-lock", "update", make).then(({ value }) => value),
      ],
      [
        "transaction",
        (make: (n: number) => number) =>
          cortex.mutable
            .transaction((tx) => tx.update("slow-lock", "transaction", make))
            .then(({ results: [one] }) => one && "value" in one && one.value),
      ],
    ] as const) {
      await s.sql`
        insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
        values ('', 'slow-lock', ${name}, '15', now(), now(), nextval('revision'), 1)`;
      let runs = 0;
      const taken = work((n) => {
        if (n < 10) throw new Error(`Insufficient: ${n}`);
        // The first two attempts lose to this rival write. After that the client takes locks.
        if (runs++ < 2)
          void s.sql`
            update mutable set revision = nextval('revision'), value = '15' where namespace = 'slow-lock' and key = ${name}`.execute();
        return n - 10;
      });
      await pause(600); // by now the client has its locks and has sent its commit
      proxy.cut();
      expect(await taken).toBe(5);
      expect(await rival.mutable.get("slow-lock", name)).toBe(5);
    }
    await cortex.close();
    proxy.close();
    await fast();
  }, 60_000);

  it("a transaction whose outcome cannot be learned in time says so, and does not begin anew", async () => {
    const fast = await slowCommits("slow-unknown", 2.5);
    const server = await s.another({ transactionSeconds: 1 });
    const proxy = await proxyToServer(server.address);
    const cortex = new Cortex({ address: `127.0.0.1:${proxy.port}`, timeoutMs: 20_000 });
    await s.sql`
      insert into mutable (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
      values ('', 'slow-unknown', 'k', '"seed"', now(), now(), nextval('revision'), 1)`;
    let runs = 0;
    const taken = cortex.mutable
      .transaction(async (tx) => {
        const seen = tx.get("slow-unknown", "k");
        if (seen !== "seed") throw new Error("somebody has taken it");
        // The first two attempts lose to this rival write. After that the client takes locks.
        if (runs++ < 2)
          await s.sql`update mutable set revision = nextval('revision') where namespace = 'slow-unknown'`;
        tx.set("slow-unknown", "k", "taken");
      })
      .then(
        () => undefined,
        (error: CortexError) => error,
      );
    while (runs < 3) await pause(5);
    await pause(200); // by now the client has sent its commit
    proxy.cut();
    expect(await taken).toMatchObject({ code: "UNAVAILABLE", details: { applied: "unknown" } });
    await pause(2500);
    expect(await s.cortex.mutable.get("slow-unknown", "k")).toBe("taken");
    await cortex.close();
    proxy.close();
    await fast();
  }, 60_000);

  it("a write that may have been made is never reported as not applied", async () => {
    await s.cortex.mutable.set("line", "unsure", 0);
    const proxy = await proxyToServer(s.address);
    const cortex = new Cortex({ address: `127.0.0.1:${proxy.port}`, timeoutMs: 1500 });
    await cortex.mutable.get("line", "unsure");
    proxy.hold();
    const failure = cortex.mutable.increment("line", "unsure").then(
      () => undefined,
      (error: CortexError) => error,
    );
    await pause(300);
    proxy.close();
    expect((await failure)?.details.applied).not.toBe("no");
    expect(await s.cortex.mutable.get("line", "unsure")).toBe(1);
    await cortex.close();
  });
});

it("close() ends what waits for a connection at once", async () => {
  const cortex = new Cortex({ address: "127.0.0.1:1", timeoutMs: 20_000 });
  const start = performance.now();
  const waiting = expect(cortex.mutable.get("ns", "k")).toFailWith("CANCELLED");
  await pause(50);
  await cortex.close();
  await waiting;
  expect(performance.now() - start).toBeLessThan(2000);
});

describe("a write whose reply is lost, and whose repeat is refused before the server looks for the first attempt,", () => {
  it("is reported as perhaps applied, and is not done again", async () => {
    const proxy = await proxyToServer(s.address);
    cleanups.push(() => proxy.close());
    let withdrawn = false;
    const token = () => {
      if (withdrawn) throw new Error("the token was withdrawn");
      return "t";
    };
    const cortex = s.client({ address: `127.0.0.1:${proxy.port}`, token, timeoutMs: 5000 });
    const lose = async (key: string, written: unknown) => {
      while ((await s.cortex.mutable.get("refused", key)) !== written) await pause(20);
      withdrawn = true;
      proxy.cut();
    };
    await s.cortex.mutable.set("refused", "updated", 0);
    let runs = 0;
    const updates = Promise.allSettled(
      [1, 2, 3].map(() =>
        cortex.mutable.update<number>("refused", "updated", (n) => {
          if (runs++ === 0) proxy.hold();
          return n + 1;
        }),
      ),
    );
    await lose("updated", 3);
    for (const outcome of await updates)
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: { code: "UNAUTHENTICATED", details: { applied: "unknown" } },
      });
    expect([runs, await s.cortex.mutable.get("refused", "updated")]).toEqual([3, 3]);

    withdrawn = false;
    await cortex.mutable.get("refused", "updated");
    proxy.hold();
    const set = cortex.mutable.set("refused", "set", 1);
    const failing = expect(set).toFailWith("UNAUTHENTICATED", { applied: "unknown" });
    await lose("set", 1);
    await failing;
  });
});
