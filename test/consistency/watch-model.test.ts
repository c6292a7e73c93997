// Watchers on two servers, while writers write in every way: single keys, batches, commits, transactions,
// expiry, purges and erasures. A row-level trigger of the test keeps the truth: what each transaction changed. Each
// watcher must see exactly that: nothing left out, nothing twice, each transaction in one piece, in an order that
// agrees with what the writers have seen. Watchers are cut and go on after their last cursor, one of the two servers is
// killed (kill -9), the partitions of the log turn, and one transaction stays open all the while.
import { setTimeout as pause } from "node:timers/promises";
import { expect, it, vi } from "vitest";
import { Cortex, type MutableChange } from "../../client/index.js";
import { connect } from "../../server/postgres/connection.js";
import { freePort, spawnServer } from "../support/process.js";
import { serve } from "../support/server.js";

const seconds = Number(process.env.WATCH_SECONDS ?? 7);
const killEveryMs = Number(process.env.WATCH_KILL_SECONDS ?? 4) * 1000;
const sleepMs = 4000; // one watcher is away for so long: much less than changes are kept

const writersMax = 32;
const watchersMax = 20;
const namespaces = ["w1", "w2"];
const keys = ["a", "ab", "abc", "b", "ba", "c", "ca", "cab", "é", "日本"];

const watchRetention = 20; // the partitions of the log turn six times within it; a server that was killed is back before
const s = serve({ watchRetention });

interface Truth {
  n: string;
  xid: string;
  namespace: string;
  key: string;
  /** The revision before and after: null where there is no entry. */
  before: string | null;
  after: string | null;
  life_before: string | null;
  life_after: string | null;
  expired: boolean;
  /** True if the value before or after is of a user: an erasure takes it from the log. */
  owned: boolean;
}

async function keepTruth(): Promise<void> {
  await s.sql`create table truth (
    n bigserial, xid xid8 not null default pg_current_xact_id(), namespace text, key text, before bigint, after bigint,
    life_before bigint, life_after bigint, expired boolean, owned boolean)`;
  await s.sql`create function keep_truth() returns trigger language plpgsql as $$
    begin
      insert into public.truth (namespace, key, before, after, life_before, life_after, expired, owned)
      values (coalesce(new.namespace, old.namespace), coalesce(new.key, old.key), old.revision, new.revision,
        old.created_revision, new.created_revision, coalesce(old.expire_at <= coalesce(new.created_at, clock_timestamp()), false),
        coalesce(old.user_id, new.user_id) is not null);
      return null;
    end $$`;
  await s.sql`create trigger truth after insert or update or delete on mutable for each row execute function keep_truth()`;
}

type Told = [
  xid: string,
  namespace: string,
  key: string,
  what: "set" | "removed",
  revision: string,
  owned: boolean,
];

/** What a watcher must be told of each transaction, by transaction: the rows of the truth, key by key. */
function toldOf(rows: Truth[]): Map<string, Told[]> {
  const byTransaction = new Map<string, Map<string, Truth[]>>();
  for (const row of rows) {
    const transaction = byTransaction.get(row.xid) ?? new Map<string, Truth[]>();
    byTransaction.set(row.xid, transaction);
    const name = `${row.namespace}\0${row.key}`;
    transaction.set(name, [...(transaction.get(name) ?? []), row]);
  }
  const told = new Map<string, Told[]>();
  for (const [xid, transaction] of byTransaction) {
    const list: Told[] = [];
    for (const rows of transaction.values()) {
      const [first] = rows as [Truth];
      const last = rows.at(-1) as Truth;
      const { namespace, key } = first;
      const reused = first.before !== null && first.after !== null && first.expired;
      const isExpiry = reused && first.life_before !== first.life_after;
      if (isExpiry)
        list.push([xid, namespace, key, "removed", first.before as string, first.owned]);
      const existed = first.before !== null && !isExpiry;
      if (last.after !== null) list.push([xid, namespace, key, "set", last.after, last.owned]);
      else if (existed)
        list.push([xid, namespace, key, "removed", last.before as string, last.owned]);
    }
    told.set(xid, list);
  }
  return told;
}

/** The addresses of servers that were killed, until they are back. */
const down = new Set<string>();

class TestWatcher {
  readonly changes: MutableChange[] = [];
  cuts = 0;
  #stopped = false;
  #cut: (() => void) | undefined;
  #away: Promise<void> | undefined;
  readonly running: Promise<void>;
  readonly begun: Promise<void>;

  constructor(
    readonly addresses: string[],
    readonly namespace: string,
    readonly keyPrefix: string | undefined,
    readonly includeCurrent: boolean,
  ) {
    let begin = () => {};
    this.begun = new Promise((resolve) => {
      begin = resolve;
    });
    this.running = this.#run(begin);
  }

  /** Watches, and goes on after the last cursor when it is cut: on another server, with another client. */
  async #run(begin: () => void): Promise<void> {
    let cursor: string | undefined;
    while (!this.#stopped) {
      await this.#away;
      const client = new Cortex({ address: this.address, tenantId: "t", timeoutMs: 60_000 });
      const controller = new AbortController();
      this.#cut = () => controller.abort();
      try {
        const watch = client.mutable.watch(this.namespace, {
          ...(this.keyPrefix !== undefined && { keyPrefix: this.keyPrefix }),
          ...(cursor === undefined ? { includeCurrent: this.includeCurrent } : { cursor }),
          signal: controller.signal,
          onProgress: (progress) => {
            cursor = progress;
            begin();
          },
        });
        for await (const change of watch) {
          this.changes.push(change);
          cursor = change.cursor;
          begin();
          if (controller.signal.aborted) break;
        }
      } catch (error) {
        if (!controller.signal.aborted) throw error;
      } finally {
        await client.close();
      }
    }
  }

  get address(): string {
    const address = this.addresses[this.cuts % this.addresses.length] as string;
    // To wait for a server that was killed may take longer than changes are kept.
    return this.addresses.find((one) => down.has(address) && one !== address) ?? address;
  }

  cut(awayMs = 0): void {
    this.cuts++;
    this.#away = awayMs > 0 ? pause(awayMs) : undefined;
    this.#cut?.();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cut?.();
    await this.running;
  }

  /** What it must have been told, in any order of transactions. */
  matches([, namespace, key]: Told): boolean {
    return namespace === this.namespace && key.startsWith(this.keyPrefix ?? "");
  }
}

const any = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

interface Written {
  startedAt: number;
  endedAt: number;
  namespace: string;
  revision: string;
}

/** Writes in a random way. Notes when each single write that was acknowledged began and ended. */
async function write(client: Cortex, written: Written[]): Promise<void> {
  const namespace = any(namespaces);
  const key = any(keys);
  const startedAt = performance.now();
  const note = ({ revision }: { revision: string }) =>
    written.push({ startedAt, endedAt: performance.now(), namespace, revision });
  const { mutable } = client;
  const ways: (() => Promise<unknown>)[] = [
    async () => note(await mutable.set(namespace, key, { startedAt })),
    async () => note(await mutable.set(namespace, key, 1, { ttlSeconds: 0.05 + Math.random() })),
    async () => note(await mutable.set(namespace, key, 2, { userId: "u" })),
    async () => note(await mutable.increment(namespace, "counter", 1, { createIfMissing: true })),
    () => mutable.delete(namespace, key),
    () => mutable.setMany(namespace, { [key]: 1, [`${key}x`]: 2, b: 3 }),
    () =>
      mutable.transaction([
        { op: "set", namespace: "w1", key, value: 1 },
        { op: "set", namespace: "w2", key, value: 1 },
        { op: "increment", namespace, key: "counter", createIfMissing: true },
      ]),
    () =>
      mutable.transaction(async (tx) => {
        const found = await tx.get(namespace, key);
        tx.set(namespace, any(keys), found);
        await tx.set("w2", key, 5);
      }),
    () => mutable.purgeMany(namespace, { keyPrefix: any(keys) }),
    () => mutable.purgeNamespace(namespace),
    async () => {
      await client.users.delete("u", { cascade: true });
      await client.users.upsert("u", {});
    },
  ];
  const rare = Math.random();
  const way = rare < 0.02 ? any(ways.slice(-3)) : any(ways.slice(0, -3));
  await way().catch(() => {}); // conflicts, missing users: nothing was written
}

it("each watcher sees what was committed: all of it, once, transactions whole, in order", async () => {
  const startedAt = new Date();
  await keepTruth();
  const listen = `127.0.0.1:${await freePort()}`;
  const spawn = () =>
    spawnServer([
      "--listen",
      listen,
      "--database-url",
      s.databaseUrl,
      "--watch-retention",
      `${watchRetention}`,
    ]);
  let second = await spawn();
  const addresses = [s.address, listen];
  const clients = addresses.map((address) => s.client({ address, tenantId: "t" }));
  await clients[0]?.users.upsert("u", {});
  const prefixes = [undefined, "a", "ab", "b", "c", "co", "é"];
  const watchers = Array.from(
    { length: watchersMax },
    (_, i) =>
      new TestWatcher(
        [addresses[(i + 1) % 2] as string, addresses[i % 2] as string], // the first one sleeps, then is on the other
        any(namespaces),
        i < 4 ? undefined : any(prefixes),
        false,
      ),
  );
  await Promise.all(watchers.map(({ begun }) => begun));
  const open = connect(s.databaseUrl, { max: 1 });
  const written: Written[] = [];
  const end = performance.now() + seconds * 1000;
  const late: TestWatcher[] = [];
  let kills = 0;
  await open.begin(async (tx) => {
    await tx`create table stays_open ()`; // a transaction with an id, older than all others
    const writing = Array.from({ length: writersMax }, async (_, i) => {
      while (performance.now() < end) await write(clients[i % 2] as Cortex, written);
    });
    const [sleeper, ...others] = watchers as [TestWatcher, ...TestWatcher[]];
    await pause(1000);
    sleeper.cut(sleepMs);
    const killing = (async () => {
      for (let next = killEveryMs; performance.now() + next < end; next = killEveryMs) {
        await pause(next);
        const those = [...watchers, ...late].filter(({ address }) => address === listen);
        second.child.kill("SIGKILL");
        down.add(listen);
        for (const one of those) one.cut();
        second = await spawn();
        down.delete(listen);
        kills++;
      }
    })();
    while (performance.now() < end) {
      await pause(100);
      any(others).cut();
      if (late.length < 6)
        late.push(new TestWatcher(addresses, any(namespaces), any(prefixes), true));
      else any(late).cut();
    }
    await Promise.all([...writing, killing]);
    await clients[0]?.mutable.set("w1", "zz-last", 1);
    await clients[0]?.mutable.set("w2", "zz-last", 1);
    await pause(2500); // the last expiries
  });
  await open.end();
  const rows = await s.sql<Truth[]>`select * from truth order by n`;
  const told = toldOf(rows);
  expect(rows.length).toBeGreaterThan(seconds * 20);
  // The watchers may be behind on a busy machine.
  await vi.waitFor(
    () => {
      for (const watcher of watchers) check(watcher, told, written);
    },
    { timeout: 30_000, interval: 500 },
  );
  await Promise.all([...watchers, ...late].map((watcher) => watcher.stop()));
  await second.end();
  expect(kills).toBeGreaterThan(0);
  for (const watcher of watchers) check(watcher, told, written);
  for (const watcher of late) await checkState(watcher);
  expect(watchers.reduce((sum, { cuts }) => sum + cuts, 0)).toBeGreaterThan(seconds);
  const [feed] = await s.sql<
    { turned: boolean }[]
  >`select turned_at > ${startedAt} as turned from feed`;
  expect(feed?.turned).toBe(true);
}, 2_400_000);

const nameOf = (what: string, namespace: string, key: string, revision: string) =>
  `${what} ${namespace} ${key} ${revision}`;

function check(watcher: TestWatcher, told: Map<string, Told[]>, written: Written[]): void {
  const expected = new Map<string, string>(); // what it must see, and the transaction of each
  const owned = new Set<string>();
  for (const [xid, list] of told)
    for (const one of list) {
      const [, namespace, key, what, revision, isOwned] = one;
      if (isOwned) owned.add(nameOf(what, namespace, key, revision));
      if (watcher.matches(one) && !key.startsWith("zz"))
        expected.set(nameOf(what, namespace, key, revision), xid);
    }
  const changes = watcher.changes.filter(({ key }) => !key.startsWith("zz"));
  const seen = changes.map(({ kind, namespace, key, revision }) =>
    nameOf(kind === "set" ? "set" : "removed", namespace, key, revision),
  );
  expect(new Set(seen).size, "nothing twice").toBe(seen.length);
  const missing = [...expected.keys()].filter((name) => !seen.includes(name) && !owned.has(name));
  const invented = seen.filter((name) => !expected.has(name));
  expect({ missing: missing.slice(0, 5), invented: invented.slice(0, 5) }).toEqual({
    missing: [],
    invented: [],
  });
  // Transactions whole.
  const order = seen.map((name) => expected.get(name) as string);
  const pieces = order.filter((xid, i) => xid !== order[i - 1]);
  expect(new Set(pieces).size, "transactions in one piece").toBe(pieces.length);
  // Revisions rise.
  const last = new Map<string, bigint>();
  for (const { key, revision, kind } of changes) {
    const before = last.get(key) ?? 0n;
    const rises = kind === "set" ? BigInt(revision) > before : BigInt(revision) >= before;
    expect(rises, `${key} ${kind} ${revision} after ${before}`).toBe(true);
    last.set(key, BigInt(revision));
  }
  // What was acknowledged before another write began comes before it.
  const places = new Map(changes.map(({ revision, kind }, i) => [`${kind} ${revision}`, i]));
  const own = written
    .filter(({ namespace }) => namespace === watcher.namespace)
    .flatMap(({ startedAt, endedAt, revision }) => {
      const place = places.get(`set ${revision}`);
      return place === undefined ? [] : [{ startedAt, endedAt, place }];
    });
  const byEnd = [...own].sort((a, b) => a.endedAt - b.endedAt);
  const byStart = [...own].sort((a, b) => a.startedAt - b.startedAt);
  let highest = -1;
  let i = 0;
  for (const { startedAt, place } of byStart) {
    for (; i < byEnd.length && (byEnd[i]?.endedAt ?? 0) < startedAt; i++)
      highest = Math.max(highest, byEnd[i]?.place ?? -1);
    expect(place).toBeGreaterThan(highest);
  }
}

/** A watch that began with the current state: its changes, one after the other, give the state of the end. */
async function checkState(watcher: TestWatcher): Promise<void> {
  const state = new Map<string, string>();
  const last = new Map<string, bigint>();
  for (const { kind, key, revision } of watcher.changes) {
    const before = last.get(key) ?? 0n;
    const isSet = kind === "set" || kind === "current";
    expect(isSet ? BigInt(revision) > before : BigInt(revision) >= before, `${key} ${kind}`).toBe(
      true,
    );
    last.set(key, BigInt(revision));
    if (isSet) state.set(key, revision);
    else state.delete(key);
  }
  const rows = await s.sql<{ key: string; revision: string }[]>`
    select key, revision from mutable where tenant = 't' and namespace = ${watcher.namespace}
      and starts_with(key, ${watcher.keyPrefix ?? ""})`;
  expect([...state].sort()).toEqual(rows.map(({ key, revision }) => [key, revision]).sort());
}
