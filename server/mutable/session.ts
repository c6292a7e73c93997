// What Transact does to the database. A session has no connection before its first lock, and waits for that one in memory. From then
// on it waits in the database, which sees who waits for whom. A key that does not exist is locked by an entry that has expired, so
// is absent to everybody, and is gone before the commit; whoever wants to create the key waits for it as for any other row.

import type { Call } from "../call.js";
import { now, type Run } from "../connection.js";
import { CortexError, codeOf } from "../errors.js";
import { keepReply, type RequestKey } from "../request.js";
import type { Transaction } from "../transactions.js";
import { apply, idOf, type Operation, type Place, type Result, unitOf } from "./apply.js";
import { readAll } from "./batch-get.js";
import { failure } from "./commit.js";
import { columns, joinAccess, type Row } from "./entry.js";
import { type Matching, matches } from "./filter.js";
import { replyOf } from "./reply.js";
import { creation } from "./statement.js";
import { namespaceId, settle } from "./write.js";

export class Session {
  readonly operations: Operation[] = [];
  readonly results: Result[] = [];
  readonly #call: Call;
  /** What it owns in memory: keys, and namespaces that it keeps without new keys. */
  readonly #names = new Set<string>();
  readonly #placeholders: Place[] = [];
  /** About what its results take: the answer to its commit holds them all. */
  #bytes = 0;
  #transaction: Transaction | undefined;

  constructor(call: Call) {
    this.#call = call;
  }

  async read(places: Place[]) {
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
    const found = await run<Place & { bytes: number }>(
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
    this.#own(found.map(idOf));
    return run<Row>(
      (sql) => sql`
        select ${columns(sql)} from mutable m ${joinAccess(sql)} where ${matches(sql, matching)} order by m.key`,
    );
  }

  async write(operations: Operation[]): Promise<Result[]> {
    const { tenant, config } = this.#call;
    const unit = unitOf(tenant, operations, undefined, config);
    const [outcome] = await this.#locking(operations, (run) =>
      apply(run, [unit], { wait: true, attempts: 1 }).catch(conflicting),
    );
    if (!outcome || outcome === "locked") throw new CortexError("CONFLICT");
    const before = this.operations.length;
    const results = settle(unit, outcome, (refusal) => failure(unit, refusal, 0, before));
    for (const { row } of results)
      this.#bytes += (row?.value.length ?? 0) + (row?.metadata.length ?? 0);
    if (this.#bytes > config.messageBytesMax)
      throw new CortexError("REPLY_TOO_LARGE", {
        limit: `${config.messageBytesMax}`,
        got: `${this.#bytes}`,
      });
    this.operations.push(...operations);
    this.results.push(...results);
    return results;
  }

  async commit(request: RequestKey | undefined): Promise<void> {
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
      await keepReply(run, tenant, request, {
        reply: replyOf(this.results),
        userIds: [...new Set(this.results.flatMap(({ row }) => row?.user_id ?? []))],
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
  async #locking<T>(places: Place[], work: (run: Run) => Promise<T>): Promise<T> {
    const fresh = new Map(places.map((place) => [idOf(place), place]));
    for (const name of this.#names) fresh.delete(name);
    const names = [...fresh.keys()].sort();
    const run = await this.#begun(names);
    if (names.length === 0) return work(run);
    const sorted = names.map((name) => fresh.get(name) as Place);
    const locked = run<Place>(
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
    return work(run);
  }

  /** The transaction in the database, begun; the names are its own in memory. */
  async #begun(names: string[]): Promise<Run> {
    const { locks, signal } = this.#call;
    if (!this.#transaction)
      for (const name of names) {
        if (this.#names.has(name)) continue;
        await locks.own(name, this, signal);
        this.#names.add(name);
      }
    const { run } = this.#transaction ?? (await this.#open());
    this.#own(names);
    return run;
  }

  async #open(): Promise<Transaction> {
    this.#transaction = await this.#call.transactions.begin(this.#call.signal);
    return this.#transaction;
  }

  #own(names: string[]): void {
    for (const name of names) {
      this.#call.locks.join(name, this);
      this.#names.add(name);
    }
  }
}

/** What a rival did meanwhile, and what the database rolled the transaction back for. */
function conflicting(error: unknown): never {
  if (codeOf(error)?.startsWith("23")) throw new CortexError("CONFLICT", {}, { cause: error });
  throw error;
}
