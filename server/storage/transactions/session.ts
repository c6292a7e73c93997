// What Transact does to the database. A session has no connection before its first lock, and waits for that one in memory. From then
// on it waits in the database, which sees who waits for whom. A key that does not exist is locked by an entry that has expired, so
// is absent to everybody, and is gone before the commit; whoever wants to create the key waits for it as for any other row.

import { CortexError, codeOf } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import { readAll } from "../../mutable/batch-get.js";
import { failure } from "../../mutable/commit.js";
import { now, type Run } from "../../postgres/connection.js";
import type { DatabaseTransaction } from "../../postgres/transaction.js";
import type { Amounts, Room } from "../../runtime/quotas.js";
import {
  addsOf,
  apply,
  atomicWrite,
  type EntryKey,
  entryName,
  type Operation,
} from "../entries/apply.js";
import { columns, joinAccess, type Row } from "../entries/entry.js";
import { type Matching, matches } from "../entries/filter.js";
import type { TransactionStep } from "../entries/operation.js";
import { refusalOf } from "../entries/refuse.js";
import { replyOf, type StepResult } from "../entries/reply.js";
import { creation } from "../entries/statement.js";
import { namespaceId, quotaRefusal, settle } from "../entries/write.js";
import { type IdempotencyKey, storeReply } from "../idempotency.js";
import {
  refusalOf as refusalOfStore,
  type Stored,
  storeAll,
  storesAdd,
} from "../versions/store.js";

export class Session {
  /** How many steps it has taken, preconditions aside. */
  steps = 0;
  readonly results: StepResult[] = [];
  readonly #call: Call;
  /** What it owns in memory: keys, and namespaces that it keeps without new keys. */
  readonly #names = new Set<string>();
  /** Keys whose rows it has locked. */
  readonly #locked = new Set<string>();
  readonly #placeholders: EntryKey[] = [];
  /** About what its results take: the answer to its commit holds them all. */
  #bytes = 0;
  #transaction: DatabaseTransaction | undefined;
  /** What it has added to what its tenant stores, at most. */
  readonly #added: Amounts = { keys: 0, bytes: 0, versions: 0 };

  constructor(call: Call) {
    this.#call = call;
  }

  async read(places: EntryKey[]) {
    const { messageBytesMax } = this.#call.config;
    return this.#locking(places, (run) => readAll(run, places, messageBytesMax));
  }

  /** The entries that match, by key, and none that anybody creates meanwhile. */
  async list(matching: Matching, limit: number): Promise<Row[]> {
    const { tenant, namespace } = matching;
    const { config } = this.#call;
    const run = await this.#begun([namespaceId(tenant, namespace)]);
    await run(
      (sql) =>
        sql`select pg_advisory_xact_lock(${creation(sql, sql`${tenant}::text`, sql`${namespace}::text`)})::text`,
    );
    const found = await run<EntryKey & { bytes: number }>(
      (sql) => sql`
        select m.tenant, m.namespace, m.key, m.bytes + octet_length(m.metadata::text) as bytes
        from mutable m where ${matches(sql, matching)}
        order by m.key limit ${limit + 1} for no key update`,
    );
    const bytes = found.reduce((sum, row) => sum + row.bytes, 0);
    if (found.length > limit)
      throw new CortexError("REPLY_TOO_LARGE", { limit: `${limit} records`, got: "more" });
    if (bytes > config.messageBytesMax)
      throw new CortexError("REPLY_TOO_LARGE", {
        limit: `${config.messageBytesMax}`,
        got: `${bytes}`,
      });
    this.#own(found.map(entryName));
    for (const place of found) this.#locked.add(entryName(place));
    return run<Row>(
      (sql) => sql`
        select ${columns(sql)} from mutable m ${joinAccess(sql)} where ${matches(sql, matching)} order by m.key`,
    );
  }

  /** Applies steps, the first of which are preconditions. */
  async write(steps: TransactionStep[], preconditions = 0): Promise<StepResult[]> {
    const { config } = this.#call;
    await this.#wait(steps.map(nameOf));
    const before = this.steps;
    const failed = (error: CortexError, index: number) =>
      failure(error, index, preconditions, before);
    const results: StepResult[] = [];
    await this.#writeEntries(steps, results, failed);
    await this.#storeVersions(steps, results, failed);
    for (const result of results) this.#bytes += sizeOf(result);
    if (this.#bytes > config.messageBytesMax)
      throw new CortexError("REPLY_TOO_LARGE", {
        limit: `${config.messageBytesMax}`,
        got: `${this.#bytes}`,
      });
    this.steps += steps.length - preconditions;
    this.results.push(...results);
    return results;
  }

  async #writeEntries(
    steps: TransactionStep[],
    results: StepResult[],
    failed: Failed,
  ): Promise<void> {
    const places = steps.flatMap((step, i) => (step.kind === "store" ? [] : [i]));
    if (places.length === 0) return;
    const operations = places.map((i) => steps[i] as Operation);
    const whole = atomicWrite(this.#call, operations, undefined);
    const { quotas, tenant } = this.#call;
    const room = await quotas.room(tenant, addsOf(whole));
    const unit = room ? { ...whole, room: this.#left(room) } : whole;
    const [outcome] = await this.#locking(operations, (run) =>
      apply(run, [unit], { wait: true, attempts: 1 }).catch(conflicting),
    );
    if (!outcome || outcome === "locked") throw new CortexError("CONFLICT");
    settle(
      unit,
      outcome,
      (refusal) =>
        quotaRefusal(quotas, room, refusal) ??
        failed(refusalOf(unit, refusal), places[refusal.index] as number),
    ).forEach((result, i) => {
      results[places[i] as number] = result;
    });
    this.#add(addedBy(results));
  }

  /** What it has added is not seen by who measures: it is not committed. */
  #left({ keys, bytes, versions }: Room): Room {
    const added = this.#added;
    return {
      keys: keys - added.keys,
      bytes: bytes - added.bytes,
      versions: versions - added.versions,
    };
  }

  #add({ keys, bytes, versions }: Amounts): void {
    this.#added.keys += keys;
    this.#added.bytes += bytes;
    this.#added.versions += versions;
  }

  /** In rounds of distinct records, each locked before the statement that stores: that is to see what others have stored. */
  async #storeVersions(
    steps: TransactionStep[],
    results: StepResult[],
    failed: Failed,
  ): Promise<void> {
    let left = steps.flatMap((step, place) => (step.kind === "store" ? [{ step, place }] : []));
    while (left.length > 0) {
      const round = new Map(left.toReversed().map((one) => [one.step.name, one]));
      left = left.filter((one) => round.get(one.step.name) !== one);
      const names = [...round.keys()].sort();
      const sorted = names.map((name) => round.get(name) as (typeof left)[number]);
      const stores = sorted.map(({ step }) => step);
      const run = await this.#begun(names);
      const { quotas, tenant } = this.#call;
      const adds = storesAdd(stores);
      await quotas.check(tenant, adds, this.#added);
      this.#add(adds);
      await run(
        (sql) => sql`
          select h.version
          from unnest(
            ${stores.map((s) => s.tenant)}::text[], ${stores.map((s) => s.type)}::text[], ${stores.map((s) => s.id)}::text[]
          ) with ordinality as asked (tenant, type, id, number)
          cross join lateral (
            select h.version from immutable h where h.tenant = asked.tenant and h.type = asked.type and h.id = asked.id
            for no key update
          ) as h`,
      );
      const all = await storeAll(run, stores, { wait: true, attempts: 1 }).catch(conflicting);
      sorted.forEach(({ step, place }, i) => {
        const stored = all[i] as Stored;
        if (stored === "locked" || "repeated" in stored) throw new CortexError("CONFLICT");
        if ("refusal" in stored) throw failed(refusalOfStore(step, stored.refusal), place);
        results[place] = { stored: stored.row };
      });
    }
  }

  async commit(request: IdempotencyKey | undefined): Promise<void> {
    const { tenant } = this.#call;
    const transaction = this.#transaction ?? (request && (await this.#open()));
    if (!transaction) return;
    const { run } = transaction;
    const left = this.#placeholders;
    if (left.length > 0)
      await run(
        (sql) => sql`
          delete from mutable m
          using unnest(${left.map((p) => p.namespace)}::text[], ${left.map((p) => p.key)}::text[]) as place (namespace, key)
          where m.tenant = ${tenant} and m.namespace = place.namespace and m.key = place.key and m.expire_at = '-infinity'`,
      );
    if (request)
      await storeReply(run, tenant, request, {
        reply: replyOf(this.results),
        userIds: [...new Set(this.results.flatMap((result) => rowOf(result)?.user_id ?? []))],
      }).catch(conflicting);
    this.#transaction = undefined;
    await transaction.commit();
    this.#release();
  }

  /** Rolls back what is not committed, and lets the next have the keys. */
  async end(): Promise<void> {
    await this.#transaction?.rollback();
    this.#transaction = undefined;
    this.#release();
  }

  #release(): void {
    for (const name of this.#names) this.#call.locks.release(name, this);
    this.#names.clear();
  }

  /** Locks keys, whether or not they exist, in the order in which everybody does; then does what is to be done with them. */
  async #locking<T>(places: EntryKey[], work: (run: Run) => Promise<T>): Promise<T> {
    const fresh = new Map(places.map((place) => [entryName(place), place]));
    for (const name of this.#locked) fresh.delete(name);
    const names = [...fresh.keys()].sort();
    const run = await this.#begun(names);
    if (names.length === 0) return work(run);
    const sorted = names.map((name) => fresh.get(name) as EntryKey);
    const locked = run<EntryKey>(
      (sql) => sql`
        insert into mutable as m (tenant, namespace, key, value, created_at, updated_at, expire_at, revision, created_revision)
        select place.tenant, place.namespace, place.key, 'null', ${now(sql)}, ${now(sql)}, '-infinity', nextval('revision'), 0
        from unnest(
          ${sorted.map((p) => p.tenant)}::text[], ${sorted.map((p) => p.namespace)}::text[], ${sorted.map((p) => p.key)}::text[]
        ) with ordinality as place (tenant, namespace, key, number)
        order by number
        on conflict (tenant, namespace, key) do update set revision = m.revision where false -- which locks the row all the same
        returning m.tenant, m.namespace, m.key`,
    );
    this.#placeholders.push(...(await locked));
    for (const name of names) this.#locked.add(name);
    return work(run);
  }

  /** Waits for its turn in memory, as long as it holds nothing. */
  async #wait(names: string[]): Promise<void> {
    const { locks, signal } = this.#call;
    if (this.#transaction) return;
    for (const name of [...new Set(names)].sort()) {
      if (this.#names.has(name)) continue;
      await locks.acquire(name, this, signal);
      this.#names.add(name);
    }
  }

  /** The transaction in the database, begun; the names are its own in memory. */
  async #begun(names: string[]): Promise<Run> {
    await this.#wait(names);
    const { run } = this.#transaction ?? (await this.#open());
    this.#own(names);
    return run;
  }

  async #open(): Promise<DatabaseTransaction> {
    this.#transaction = await this.#call.begin();
    return this.#transaction;
  }

  #own(names: string[]): void {
    for (const name of names) {
      this.#call.locks.join(name, this);
      this.#names.add(name);
    }
  }
}

/** What entries that were written add: those that are new by now, and their bytes. */
function addedBy(results: StepResult[]): Amounts {
  const added = { keys: 0, bytes: 0, versions: 0 };
  for (const result of results) {
    if (!result || "stored" in result || !result.row) continue;
    const { created_at, updated_at, value, metadata } = result.row;
    if (created_at.getTime() === updated_at.getTime()) added.keys++;
    added.bytes += Buffer.byteLength(value) + Buffer.byteLength(metadata);
  }
  return added;
}

type Failed = (error: CortexError, index: number) => CortexError;

const nameOf = (step: TransactionStep): string =>
  step.kind === "store" ? step.name : entryName(step);

const sizeOf = (result: StepResult): number => {
  const row = rowOf(result);
  if (!row) return 0;
  return Buffer.byteLength(row.metadata) + Buffer.byteLength("data" in row ? row.data : row.value);
};

const rowOf = (result: StepResult) => ("stored" in result ? result.stored : result.row);

/** What a rival did meanwhile, and what the database rolled the transaction back for. */
function conflicting(error: unknown): never {
  if (codeOf(error)?.startsWith("23")) throw new CortexError("CONFLICT", {}, { cause: error });
  throw error;
}
