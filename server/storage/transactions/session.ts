// The database side of a transaction. It has no connection before its first lock, and waits for that
// lock in memory. From then on it waits in the database, which finds deadlocks. It locks a key that does not
// exist by its name (creation.ts).
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import type { DatabaseTransaction } from "../../postgres/transaction.js";
import { type Amounts, quotaRefusal, type Reservation } from "../../runtime/quotas.js";
import { commitMark } from "../changes/mark.js";
import { checkGuard, type Guard } from "../claims/guard.js";
import { CreationLocks } from "../creation-locks.js";
import { atomicWrite } from "../entries/atomic-write.js";
import {
  columns,
  type EntryKey,
  type EntryRow,
  entryName,
  joinAccess,
  listLockName,
  namespaceName,
} from "../entries/entry.js";
import { type EntryFilter, matches } from "../entries/filter.js";
import type { Operation } from "../entries/operation.js";
import { readEntries } from "../entries/read.js";
import { transactionFailed } from "../entries/refusal.js";
import { entryWrites } from "../entries/write.js";
import { type IdempotencyKey, storedReply, toConflict } from "../idempotency.js";
import { isLocked } from "../locks.js";
import { typeLockName } from "../versions/name.js";
import { PendingVersions } from "../versions/pending.js";
import { lockKeys, lockMatching } from "./key-locks.js";
import { TransactionMessages } from "./messages.js";
import {
  addedBy,
  atMost,
  checkReplySize,
  type StepResult,
  sizeOf,
  toReply,
  usersOf,
} from "./result.js";
import { SeenExpiry } from "./seen-expiry.js";
import { type Failed, isOnEntry, stepNames, type TransactionStep } from "./step.js";

/** Whoever meets a lock that is held for less than this looks again soon enough by itself. */
const announcedMs = 50;

export class Session {
  /** How many steps it has taken, preconditions aside. */
  steps = 0;
  readonly results: StepResult[] = [];
  readonly #call: Call;
  #startedAt = 0;
  /** The names that it owns in KeyLocks: keys, and namespaces where it lets nobody else create keys. */
  readonly #names = new Set<string>();
  /** The keys whose rows it has locked. */
  readonly #locked = new Set<string>();
  readonly #creations = new CreationLocks();
  /** About the bytes of its results: the reply to its commit holds all of them. */
  #bytes = 0;
  #transaction: DatabaseTransaction | undefined;
  readonly #expiry = new SeenExpiry();
  readonly #versions = new PendingVersions();
  readonly #messages = new TransactionMessages(
    () => this.#begun([]),
    (adds) => this.#reserve(adds),
  );
  /** The room that its steps take until it ends: before the commit, no measurement sees what they add. */
  readonly #reservations: Reservation[] = [];

  constructor(
    call: Call,
    /** Begins the database transaction. */
    readonly begin: () => Promise<DatabaseTransaction>,
    /** True if it commits after its only write: then it waits for its streams too before it has a connection. */
    readonly commitsAtOnce = false,
  ) {
    this.#call = call;
  }

  async read(keys: EntryKey[]) {
    const { messageBytesMax } = this.#call.server.config;
    const results = await this.#locking(keys, (run) => readEntries(run, keys, messageBytesMax));
    for (const { record } of results)
      if (record?.expireTime) this.#expiry.note(timestampDate(record.expireTime));
    return results;
  }

  /** Lists and locks the entries that match. Nobody else creates a key there until the transaction ends. */
  async list(filter: EntryFilter, limit: number): Promise<EntryRow[]> {
    const { tenant, namespace } = filter;
    const { config } = this.#call.server;
    const run = await this.#begun([listLockName(tenant, namespace)]);
    const space = { tenant, space: namespace };
    await this.#creations.lockSpace(this.#transaction as DatabaseTransaction, "entry", space);
    this.#own([namespaceName(tenant, namespace)]);
    const found = await lockMatching(run, filter, limit);
    checkReplySize(
      found.reduce((sum, row) => sum + row.bytes, 0),
      config.messageBytesMax,
    );
    this.#own(found.map(entryName));
    for (const entry of found) this.#locked.add(entryName(entry));
    const rows = await run<EntryRow>(
      (sql) => sql`
        select ${columns(sql)} from mutable m ${joinAccess(sql)} where ${matches(sql, filter)} order by m.key`,
    );
    for (const { expire_at } of rows) this.#expiry.note(expire_at);
    return rows;
  }

  /** Takes steps. The first `preconditions` of them are preconditions. */
  async write(steps: TransactionStep[], preconditions = 0): Promise<StepResult[]> {
    await this.#wait(stepNames(steps, this.commitsAtOnce));
    const before = this.steps;
    const failed: Failed = (error, index) =>
      transactionFailed(error, index, { preconditions, before });
    const results: StepResult[] = [];
    await this.#writeEntries(steps, results, failed);
    await this.#addVersions(steps, results, failed);
    await this.#messages.add(steps, results, failed);
    for (const result of results) this.#bytes += sizeOf(result);
    checkReplySize(this.#bytes, this.#call.server.config.messageBytesMax);
    this.steps += steps.length - preconditions;
    this.results.push(...results);
    return results;
  }

  async #writeEntries(
    steps: TransactionStep[],
    results: StepResult[],
    failed: Failed,
  ): Promise<void> {
    const indexes = steps.flatMap((step, i) => (isOnEntry(step) ? [i] : []));
    if (indexes.length === 0) return;
    const operations = indexes.map((i) => steps[i] as Operation);
    const write = atomicWrite(this.#call, operations, undefined);
    const reservation = await this.#reserve(write.adds);
    write.room = reservation?.room;
    const outcome = await this.#locking(operations, (run) =>
      entryWrites.runOne(run, write, "held", 1).catch(toConflict),
    );
    if (isLocked(outcome) || "repeated" in outcome) throw new CortexError("CONFLICT");
    if ("refused" in outcome) {
      const { refused, index } = outcome;
      throw refused.reason === "QUOTA_EXCEEDED" ? refused : failed(refused, indexes[index] ?? 0);
    }
    outcome.result.forEach((result, i) => {
      results[indexes[i] as number] = result;
    });
    for (const { seenUntil } of outcome.result) this.#expiry.note(seenUntil);
    reservation?.settle(atMost(write.adds, addedBy(results)));
  }

  async #reserve(adds: Amounts): Promise<Reservation | undefined> {
    const reservation = await this.#call.server.quotas.reserve(this.#call.caller.tenant, adds);
    if (reservation) this.#reservations.push(reservation);
    return reservation;
  }

  /** Checks the versions, which are stored at the commit. */
  async #addVersions(
    steps: TransactionStep[],
    results: StepResult[],
    failed: Failed,
  ): Promise<void> {
    const stores = steps.flatMap((step, index) => (step.kind === "store" ? [{ step, index }] : []));
    if (stores.length === 0) return;
    const versions = stores.map(({ step }) => step);
    const run = await this.#begun(stepNames(versions));
    const bytes = versions.reduce((sum, { adds }) => sum + adds.bytes, 0);
    const adds = { keys: 0, bytes, versions: versions.length, pending: 0 };
    const reservation = await this.#reserve(adds);
    const refusal = reservation?.room && quotaRefusal(reservation.room, adds);
    if (refusal) throw refusal;
    const transaction = this.#transaction as DatabaseTransaction;
    const types = await this.#versions.lock(transaction, this.#creations, versions);
    this.#own(types.map(({ tenant, space }) => typeLockName(tenant, space)));
    const stored = await this.#versions.add(run, versions, (reason, i) =>
      failed(reason, stores[i]?.index ?? 0),
    );
    stored.forEach((result, i) => {
      results[stores[i]?.index ?? 0] = result;
    });
  }

  /** Commits, and stores the results under the key. The guard is the claim that the caller must hold. */
  async commit(key: IdempotencyKey | undefined, guard: Guard | undefined): Promise<void> {
    const transaction = this.#transaction ?? ((key || guard) && (await this.#open()));
    if (!transaction) return;
    if (guard) await checkGuard(transaction.run, guard);
    await this.#versions.store(transaction.run);
    this.#own(this.#messages.streams);
    await this.#messages.write(transaction.run);
    await this.#seal(transaction.run, key).catch(toConflict);
    this.#transaction = undefined;
    await transaction.commit();
    this.#call.server.feed.announce();
    this.#call.server.bus.publish(this.#messages.streams); // readers wait for entries
    this.#release();
  }

  /**
   * The last statement of the transaction. It stores the results, and throws CONFLICT if an entry that was seen
   * live has expired.
   */
  async #seal(run: Run, key: IdempotencyKey | undefined): Promise<void> {
    const { tenant } = this.#call.caller;
    const { replies } = this.#call.server;
    const { first } = this.#expiry;
    const writes = this.results.length > 0;
    if (!key && !first && !writes) return;
    const reply = key && {
      reply: toReply(this.results, replies.contentMax(tenant)),
      userIds: [...new Set([...usersOf(this.results), ...this.#messages.userIds])],
    };
    const [row] = await run<{ expired: boolean | null }>(
      (sql) => sql`
        with stored_reply as (
          ${key && reply ? storedReply(sql, tenant, key, reply) : sql`select`}
        ), mark as (
          ${writes ? commitMark(sql, tenant) : sql`select`}
        )
        select clock_timestamp() >= ${first ?? null}::timestamptz as expired
        from (select count(*) from stored_reply offset 0) as stored`, // the time is read after that
    );
    if (row?.expired) throw new CortexError("CONFLICT");
    if (reply) replies.note(tenant, Buffer.byteLength(reply.reply));
  }

  /** Rolls back what is not committed, and releases the keys. */
  async end(): Promise<void> {
    await this.#transaction?.rollback();
    this.#transaction = undefined;
    this.#release();
  }

  #release(): void {
    const { locks, bus } = this.#call.server;
    for (const reservation of this.#reservations.splice(0)) reservation.release();
    for (const name of this.#names) locks.release(name, this);
    if (performance.now() - this.#startedAt > announcedMs) bus.publish(this.#names);
    this.#names.clear();
  }

  /** Locks the rows of keys, in the order in which everybody does, and then does the work. */
  async #locking<T>(keys: EntryKey[], work: (run: Run) => Promise<T>): Promise<T> {
    const fresh = new Map(keys.map((key) => [entryName(key), key]));
    for (const name of this.#locked) fresh.delete(name);
    const names = [...fresh.keys()].sort();
    const run = await this.#begun(names);
    if (names.length === 0) return work(run);
    const sorted = names.map((name) => fresh.get(name) as EntryKey);
    const namespaces = await this.#creations.lock(this.#transaction as DatabaseTransaction, {
      kind: "entry",
      rows: sorted,
      spaceOf: ({ tenant, namespace }) => ({ tenant, space: namespace }),
      lockRows: (keys, locksNames) => lockKeys(run, keys, locksNames),
    });
    this.#own(namespaces.map(({ tenant, space }) => namespaceName(tenant, space)));
    for (const name of names) this.#locked.add(name);
    return work(run);
  }

  /** Waits in memory to own the names, as long as it holds no lock in the database. */
  async #wait(names: string[]): Promise<void> {
    const { server, signal } = this.#call;
    if (this.#transaction) return;
    for (const name of [...new Set(names)].sort()) {
      if (this.#names.has(name)) continue;
      await server.locks.acquire(name, this, signal);
      this.#names.add(name);
    }
  }

  /** Begins the database transaction, unless it has begun, and owns the names. */
  async #begun(names: string[]): Promise<Run> {
    await this.#wait(names);
    const { run } = this.#transaction ?? (await this.#open());
    this.#own(names);
    return run;
  }

  async #open(): Promise<DatabaseTransaction> {
    this.#transaction = await this.begin();
    this.#startedAt = performance.now();
    return this.#transaction;
  }

  #own(names: string[]): void {
    for (const name of names) {
      this.#call.server.locks.join(name, this);
      this.#names.add(name);
    }
  }
}
