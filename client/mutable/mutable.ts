// The client of MutableStore: JSON values under namespace + key.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { MutableStore, type UpdateRequestSchema } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { CallOptions, ClaimGuard, WriteOptions } from "../core/call-options.js";
import { toDate } from "../core/codec.js";
import { CortexError, type ErrorCode } from "../core/error.js";
import { toJson } from "../core/json.js";
import type { Transport } from "../core/transport.js";
import {
  amountText,
  callNames,
  callOptions,
  flag,
  keyText,
  listed,
  namespaceText,
  rejectUnknown,
  revisionText,
  secondsOf,
  text,
  writeNames,
  writeOptions,
} from "../core/validate.js";
import { Contention } from "./contention.js";
import { entryInit, entryNames } from "./entries.js";
import {
  filterOf,
  listOf,
  type MutableFilters,
  type MutableOrder,
  type MutablePage,
  scanOf,
} from "./filters.js";
import type {
  ChangeOptions,
  DeleteOptions,
  DeleteResult,
  EntryOptions,
  MutableListResult,
  NamespaceSummary,
  PurgeKeyResult,
  PurgeOptions,
  PurgeResult,
  SetManyEntry,
  SetOptions,
} from "./options.js";
import type { UpdateOptions, Updater } from "./pending-update.js";
import { runPurge, toPurgeResult } from "./purges.js";
import { type MutableRecord, toRecord, valueName } from "./records.js";
import {
  type Operation,
  type Transaction,
  type TransactionOptions,
  type TransactionOutcome,
  type TransactionResult,
  Transactions,
} from "./transactions/transaction.js";
import { Updates } from "./update.js";
import { type MutableChange, type MutableWatchOptions, waitFor, watch } from "./watch.js";

const rpc = MutableStore.method;
const changeNames = ["createIfMissing", "ifRevision", ...writeNames];
const scanPage = 1000;

/** Gives false for an error with this code, and throws others. */
const unless = (code: ErrorCode) => (error: unknown) => {
  if (error instanceof CortexError && error.code === code) return false;
  throw error;
};

/**
 * Live shared JSON under namespace + key.
 *
 * Every method takes `{ timeoutMs, signal }` as its last options. Every method throws CortexError. Each
 * method names its own codes. Codes that any method may throw are INVALID_NAMESPACE, INVALID_KEY,
 * INVALID_OPTIONS, UNAVAILABLE, DATABASE_UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, and others that the proto
 * of MutableStore names for every RPC, such as PERMISSION_DENIED and RATE_LIMITED.
 *
 * Values may hold bigints. A number that does not fit in a JavaScript number is never rounded silently: an
 * integer is read as a bigint, and for others see `exactNumbers` of CortexOptions.
 */
export class Mutable {
  readonly #transport: Transport;
  readonly #updates: Updates;
  readonly #transactions: Transactions;

  constructor(transport: Transport) {
    this.#transport = transport;
    const contention = new Contention();
    this.#updates = new Updates(transport, contention);
    this.#transactions = new Transactions(transport, contention);
  }

  /**
   * Stores a value, whether or not the key exists. If `userId` or `metadata` is not given, it stays as it
   * was. If `ttlSeconds` is not given, an earlier expiry is removed.
   *
   * @param value Any JSON value up to 1 MiB; a `Date` is stored as its ISO string.
   * @param options The user's id, or `{ userId, metadata, ttlSeconds, ifRevision, ifAbsent }`.
   * @returns The record as stored.
   * @throws INVALID_VALUE (with the path), VALUE_TOO_LARGE, VALUE_TOO_DEEP, INVALID_METADATA,
   * INVALID_USER_ID, INVALID_TTL, USER_NOT_FOUND, KEY_EXISTS (ifAbsent), REVISION_MISMATCH (ifRevision;
   * `details.current_revision`).
   *
   * ```ts
   * await cortex.mutable.set("inventory", "widget-qty", 100);
   * await cortex.mutable.set("sessions", "s-1", { step: 2 }, { userId: "user-123", ttlSeconds: 3600 });
   * ```
   */
  async set<T = any>(
    namespace: string,
    key: string,
    value: T,
    options: string | null | SetOptions = {},
  ): Promise<MutableRecord<T>> {
    const given = typeof options === "string" || options === null ? { userId: options } : options;
    rejectUnknown(
      given,
      [...entryNames, "ifRevision", "ifAbsent", ...writeNames],
      "INVALID_OPTIONS",
      "set",
    );
    const { ifRevision, ifAbsent = false } = given;
    const { record } = await this.#transport.write(
      rpc.set,
      {
        namespace: namespaceText(namespace),
        ...entryInit(namespace, { key, value, ...given }, this.#transport.json),
        ifAbsent: flag(ifAbsent, "ifAbsent"),
        ...(ifRevision !== undefined && { ifRevision: revisionText(ifRevision) }),
      },
      given,
    );
    return toRecord<T>(record, this.#transport.json);
  }

  /**
   * Reads a value and counts the access (`accessCount`, `lastAccessed`).
   *
   * @returns The value; null if the key does not exist, or if null is stored (`getRecord` tells these apart).
   * An integer that a number cannot hold is a bigint.
   *
   * ```ts
   * const qty = await cortex.mutable.get<number>("inventory", "widget-qty");
   * ```
   */
  async get<T = any>(namespace: string, key: string, options: CallOptions = {}): Promise<T | null> {
    callOptions(options, "get");
    const request = { namespace: namespaceText(namespace), key: keyText(key) };
    const { valueJson } = await this.#transport.unary(rpc.get, request, options);
    return valueJson === undefined
      ? null
      : this.#transport.json.parse<T>(valueJson, valueName(namespace, key));
  }

  /**
   * Reads a whole record without counting the access.
   *
   * @returns The record; null if the key does not exist. An integer that a number cannot hold is a bigint.
   */
  async getRecord<T = any>(
    namespace: string,
    key: string,
    options: CallOptions = {},
  ): Promise<MutableRecord<T> | null> {
    callOptions(options, "getRecord");
    const request = { namespace: namespaceText(namespace), key: keyText(key) };
    const { record } = await this.#transport.unary(rpc.getRecord, request, options);
    return record ? toRecord<T>(record, this.#transport.json) : null;
  }

  /** True if the key exists. Counts no access. */
  async exists(namespace: string, key: string, options: CallOptions = {}): Promise<boolean> {
    callOptions(options, "exists");
    const request = { namespace: namespaceText(namespace), key: keyText(key) };
    return (await this.#transport.unary(rpc.exists, request, options)).exists;
  }

  /**
   * Changes a value by a function, atomically. The result is stored only if nobody else wrote in between.
   * Otherwise the function runs again on the new value. If others write first twice, it runs under a lock. So
   * the function may run several times and must have no side effects. User, metadata and expiry stay.
   * Concurrent updates of one client to one key are sent together, in order; each has its own revision and
   * record.
   *
   * @param updater Gets the current value and returns the new one; may be async.
   * @returns The record as stored.
   * @throws KEY_NOT_FOUND (with createIfMissing the updater is called with null instead), UPDATE_FAILED (the
   * updater threw: its error is the `cause`, and nothing was written), INVALID_UPDATER, INVALID_VALUE,
   * VALUE_TOO_LARGE, VALUE_TOO_DEEP.
   *
   * ```ts
   * await cortex.mutable.update("inventory", "widget-qty", (n) => n - 1);
   * ```
   */
  async update<T = any>(
    namespace: string,
    key: string,
    updater: Updater<T>,
    options: UpdateOptions = {},
  ): Promise<MutableRecord<T>> {
    rejectUnknown(options, ["createIfMissing", "claim", ...callNames], "INVALID_OPTIONS", "update");
    if (options.claim) {
      const { claim, ...rest } = options;
      return this.#guarded(claim).update(namespace, key, updater, rest);
    }
    if (typeof updater !== "function")
      throw new CortexError("INVALID_UPDATER", "the updater is not a function");
    flag(options.createIfMissing ?? false, "createIfMissing");
    return this.#updates.update({
      namespace: namespaceText(namespace),
      key: keyText(key),
      updater,
      options,
    });
  }

  /**
   * Adds to a number in the database, in exact decimal arithmetic: 0.1 + 0.2 is 0.3, and no concurrent
   * increment is lost.
   *
   * @param amount A number, a bigint, or decimal text for more digits than a number holds. Default: 1.
   * @returns The record as stored. A result that a number cannot hold is a bigint: `increment<bigint>` gives
   * it that type.
   * @throws KEY_NOT_FOUND (unless createIfMissing, which starts from 0), VALUE_NOT_NUMERIC, INVALID_AMOUNT,
   * NUMBER_OUT_OF_RANGE, REVISION_MISMATCH (ifRevision).
   */
  async increment<T extends number | bigint = number>(
    namespace: string,
    key: string,
    amount: number | string | bigint = 1,
    options: ChangeOptions = {},
  ): Promise<MutableRecord<T>> {
    const value = { amount: amountText(amount) };
    return this.#change(namespace, key, { case: "increment", value }, options);
  }

  /** Subtracts from a number in the database: see `increment`. */
  async decrement<T extends number | bigint = number>(
    namespace: string,
    key: string,
    amount: number | string | bigint = 1,
    options: ChangeOptions = {},
  ): Promise<MutableRecord<T>> {
    const value = { amount: amountText(amount) };
    return this.#change(namespace, key, { case: "decrement", value }, options);
  }

  /**
   * Appends one element to an array in the database.
   *
   * @returns The record as stored.
   * @throws KEY_NOT_FOUND (unless createIfMissing, which starts from `[]`), VALUE_NOT_ARRAY, INVALID_VALUE,
   * VALUE_TOO_LARGE, VALUE_TOO_DEEP, REVISION_MISMATCH (ifRevision).
   */
  async append<T = any>(
    namespace: string,
    key: string,
    element: T,
    options: ChangeOptions = {},
  ): Promise<MutableRecord<T[]>> {
    const value = { valueJson: toJson(element, "element") };
    return this.#change(namespace, key, { case: "append", value }, options);
  }

  /**
   * Merges a patch into an object in the database, as JSON merge patch does (RFC 7396). Members of the patch
   * replace members of the object, also within nested objects. A null in the patch removes the member.
   *
   * @returns The record as stored.
   * @throws KEY_NOT_FOUND (unless createIfMissing, which starts from `{}`), INVALID_VALUE, VALUE_TOO_LARGE,
   * VALUE_TOO_DEEP, REVISION_MISMATCH (ifRevision).
   */
  async merge<T = any>(
    namespace: string,
    key: string,
    patch: unknown,
    options: ChangeOptions = {},
  ): Promise<MutableRecord<T>> {
    const before = this.#transport.json.textsAt(valueName(namespace, key));
    const value = { patchJson: toJson(patch, "patch", before) };
    return this.#change(namespace, key, { case: "merge", value }, options);
  }

  /**
   * Deletes a key. A missing key is `deleted: false`, no error.
   *
   * @throws KEY_NOT_FOUND (mustExist), REVISION_MISMATCH (ifRevision).
   */
  async delete(namespace: string, key: string, options: DeleteOptions = {}): Promise<DeleteResult> {
    rejectUnknown(options, ["mustExist", "ifRevision", ...writeNames], "INVALID_OPTIONS", "delete");
    const { mustExist = false, ifRevision } = options;
    const { deleted, deleteTime } = await this.#transport.write(
      rpc.delete,
      {
        namespace: namespaceText(namespace),
        key: keyText(key),
        mustExist: flag(mustExist, "mustExist"),
        ...(ifRevision !== undefined && { ifRevision: revisionText(ifRevision) }),
      },
      options,
    );
    return { deleted, namespace, key, deletedAt: toDate(deleteTime) };
  }

  /** Deletes a key, as `delete` does. The result has the fields of the other purges too (`keysDeleted`). */
  async purge(namespace: string, key: string, options: WriteOptions = {}): Promise<PurgeKeyResult> {
    writeOptions(options, "purge");
    const { deleted, deletedAt } = await this.delete(namespace, key, options);
    const keys = deleted ? [key] : [];
    return { deleted, keysDeleted: keys.length, namespace, key, keys, dryRun: false, deletedAt };
  }

  /**
   * Changes several keys atomically: all of them or none. It is serializable: nobody sees a part of it, and
   * nothing that it read has changed when it is committed.
   *
   * The callback reads with `tx.get`, `tx.getMany` and `tx.list`, and writes with `tx.set`, `tx.update`,
   * `tx.increment`, `tx.decrement`, `tx.append`, `tx.merge`, `tx.delete` and `tx.store`, without waiting. It
   * sees its own writes. Its rules:
   * - It may run several times: again when the values that it reads have arrived, and again if somebody else
   *   wrote a key that it has read. If others write first twice, it runs with locks. So it must have no side
   *   effects and must read the same keys again.
   * - Nothing is written before it returns. If it throws, nothing is written.
   * - It must await everything that it starts.
   * - It writes at most 500 times.
   *
   * @param work The callback; or a list of operations `{ op, namespace, key, … }`, each of which sees those
   * before it.
   * @param options `timeoutMs` for the whole transaction, `maxAttempts` (default 10), `requestId` (only for a
   * list), `signal`, `withResults`.
   * @returns The value that the callback returns. If it returns nothing, or if `work` is a list:
   * `{ success, operationsExecuted, results }`. `results` has the record of each write, or
   * `{ deleted, namespace, key }` for a delete. With `withResults: true`, a callback gives both:
   * `{ success, operationsExecuted, results, value }`.
   * @throws TRANSACTION_FAILED: the callback threw (its error is the `cause`), or an operation failed
   * (`details.operationIndex`, from 0, and `details.reason`), or others wrote first in every attempt.
   * TRANSACTION_TIMEOUT. INVALID_OPERATIONS: the list is empty or malformed.
   *
   * ```ts
   * await cortex.mutable.transaction((tx) => {
   *   if (tx.get("inventory", "a") < 10) throw new Error("not enough");
   *   tx.update("inventory", "a", (n) => n - 10);
   *   tx.update("inventory", "b", (n) => n + 10);
   * });
   * ```
   */
  async transaction(
    work: readonly Operation[],
    options?: TransactionOptions,
  ): Promise<TransactionResult>;
  async transaction<T>(
    work: (tx: Transaction) => T | Promise<T>,
    options: TransactionOptions & { withResults: true },
  ): Promise<TransactionResult & { value: T }>;
  async transaction<T>(
    work: (tx: Transaction) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<TransactionOutcome<T>>;
  async transaction(
    work: ((tx: Transaction) => unknown) | readonly Operation[],
    options: TransactionOptions = {},
  ): Promise<unknown> {
    const { claim, ...rest } = options;
    const transactions = claim ? this.#guarded(claim).#transactions : this.#transactions;
    return transactions.run(work, claim ? rest : options);
  }

  /** The same for writes under a claim. */
  #guarded(claim: ClaimGuard): Mutable {
    return new Mutable(this.#transport.guarded(claim));
  }

  /**
   * Lists one page of records: at most 1000, by default 100. `scan` gives all records.
   *
   * @throws INVALID_FILTER, INVALID_LIMIT, INVALID_OFFSET, INVALID_SORT, INVALID_PAGE_TOKEN, INVALID_USER_ID.
   *
   * ```ts
   * const { records, total } = await cortex.mutable.list("inventory", { keyPrefix: "store-15:", limit: 50 });
   * ```
   */
  async list<T = any>(
    namespace: string,
    filters: MutableFilters & MutableOrder & MutablePage & { total: false },
    options?: CallOptions,
  ): Promise<Omit<MutableListResult<T>, "total">>;
  async list<T = any>(
    namespace: string,
    filters?: MutableFilters & MutableOrder & MutablePage,
    options?: CallOptions,
  ): Promise<MutableListResult<T>>;
  async list<T>(
    namespace: string,
    filters: MutableFilters & MutableOrder & MutablePage = {},
    options: CallOptions = {},
  ): Promise<Omit<MutableListResult<T>, "total"> & { total?: number }> {
    callOptions(options, "list");
    const request = listOf(namespaceText(namespace), filters);
    const messages = await this.#transport.stream(rpc.list, request, options);
    const last = messages.at(-1);
    return {
      records: messages.flatMap(({ records }) =>
        records.map((record) => toRecord<T>(record, this.#transport.json)),
      ),
      ...(last?.total !== undefined && { total: Number(last.total) }),
      limit: filters.limit ?? 100,
      offset: filters.offset ?? 0,
      hasMore: last?.hasMore ?? false,
      ...(last?.nextPageToken && { nextPageToken: last.nextPageToken }),
    };
  }

  /**
   * Gives every record that matches, page by page, in constant memory. It is not one snapshot. Sorted by key,
   * a record that nobody writes during the scan comes exactly once. A record that is written during the scan
   * may or may not come. In another order, a record that a write moves may come twice or not at all.
   * `timeoutMs` bounds the wait for each message of about 100 records. If the connection breaks, the scan
   * goes on where it was.
   *
   * ```ts
   * for await (const record of cortex.mutable.scan("inventory", { keyPrefix: "store-15:" })) …
   * ```
   */
  async *scan<T = any>(
    namespace: string,
    filters: MutableFilters & MutableOrder = {},
    options: CallOptions = {},
  ): AsyncGenerator<MutableRecord<T>, void, undefined> {
    callOptions(options, "scan");
    const query = scanOf(namespaceText(namespace), filters);
    let pageToken = "";
    do {
      const page = () => ({ ...query, pageToken, limit: scanPage, total: false });
      for await (const message of this.#transport.messages(rpc.list, page, options)) {
        for (const record of message.records) yield toRecord<T>(record, this.#transport.json);
        pageToken = message.nextPageToken;
        if (pageToken === "") return; // the scan is complete: a failure from here on must not restart it
      }
    } while (pageToken !== "");
  }

  /**
   * Gives the changes in a namespace as they are committed, from now on or after a cursor. It never ends by itself:
   * leave the loop, or give a signal. If the connection breaks or the server stops, it goes on where it was.
   * - What a transaction changed comes together. A key that it changed several times comes once.
   * - Of each key nothing is left out, nothing comes twice, and revisions rise. A removal has no value, and the
   *   revision that it ended.
   *
   * @throws CURSOR_EXPIRED (changes after the cursor are not kept any more: start again with `includeCurrent`),
   * INVALID_CURSOR, INVALID_FILTER, WATCH_DISABLED.
   *
   * ```ts
   * for await (const { kind, key, value } of cortex.mutable.watch("inventory", { keyPrefix: "store-15:" })) …
   * ```
   */
  watch<T = any>(
    namespace: string,
    options: MutableWatchOptions = {},
  ): AsyncGenerator<MutableChange<T>, void, undefined> {
    return watch<T>(this.#transport, namespace, options);
  }

  /**
   * Waits until a condition holds for the value of a key: null if the key does not exist. The condition is asked
   * for the value that is there, and then for each change.
   *
   * @returns The value for which it holds.
   * @throws DEADLINE_EXCEEDED if it does not hold within `timeoutMs`, WATCH_DISABLED.
   *
   * ```ts
   * await cortex.mutable.waitFor("jobs", "job-7", (job) => job?.state === "done", { timeoutMs: 60_000 });
   * ```
   */
  waitFor<T = any>(
    namespace: string,
    key: string,
    condition: (value: T | null) => unknown,
    options: CallOptions = {},
  ): Promise<T | null> {
    return waitFor<T>(this.#transport, namespace, key, condition, options);
  }

  /** Counts the entries that match. Takes only filters: a limit or a sort is INVALID_FILTER. */
  async count(
    namespace: string,
    filters: MutableFilters = {},
    options: CallOptions = {},
  ): Promise<number> {
    callOptions(options, "count");
    const request = { namespace: namespaceText(namespace), filter: filterOf(filters) };
    return Number((await this.#transport.unary(rpc.count, request, options)).count);
  }

  /** Lists the namespaces that hold at least one entry, by name, with their size. */
  async listNamespaces(
    options: { prefix?: string | undefined } & CallOptions = {},
  ): Promise<NamespaceSummary[]> {
    rejectUnknown(options, ["prefix", ...callNames], "INVALID_OPTIONS", "listNamespaces");
    const { prefix } = options;
    const filter = prefix === undefined ? {} : { prefix: text(prefix, "prefix", "INVALID_FILTER") };
    const found: NamespaceSummary[] = [];
    let pageToken = "";
    do {
      const request = { ...filter, limit: scanPage, pageToken };
      const page = await this.#transport.unary(rpc.listNamespaces, request, options);
      for (const { namespace, keys, bytes } of page.namespaces)
        found.push({ namespace, keys: Number(keys), bytes: Number(bytes) });
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return found;
  }

  /**
   * Reads several keys in one snapshot, without counting accesses.
   *
   * @param keys At most 1000.
   * @returns The values in the order of the keys; null for a key that does not exist. An integer that a
   * number cannot hold is a bigint.
   * @throws INVALID_BATCH (too many keys), REPLY_TOO_LARGE (more than 4 MiB: ask for fewer).
   */
  async getMany<T = any>(
    namespace: string,
    keys: readonly string[],
    options: CallOptions = {},
  ): Promise<(T | null)[]> {
    callOptions(options, "getMany");
    const request = {
      namespace: namespaceText(namespace),
      keys: listed(keys, "keys").map((key, i) => keyText(key, `keys[${i}]`)),
    };
    const { results } = await this.#transport.unary(rpc.batchGet, request, options);
    const { json } = this.#transport;
    return results.map(({ record }) =>
      record ? json.parse<T>(record.valueJson, valueName(record.namespace, record.key)) : null,
    );
  }

  /**
   * Stores several keys, all of them or none.
   *
   * @param entries `{ key: value }`, or a list of `{ key, value, userId, metadata, ttlSeconds }`; at most
   * 1000, each key once.
   * @returns The records as stored, in the order of the entries.
   * @throws INVALID_BATCH, REPLY_TOO_LARGE (the records take more than 4 MiB together: nothing is stored), and
   * what `set` throws.
   */
  async setMany(
    namespace: string,
    entries: Readonly<Record<string, unknown>> | readonly SetManyEntry[],
    options: WriteOptions = {},
  ): Promise<MutableRecord[]> {
    writeOptions(options, "setMany");
    if (typeof entries !== "object" || entries === null) listed(entries, "entries");
    const list: readonly SetManyEntry[] = Array.isArray(entries)
      ? (entries as readonly SetManyEntry[])
      : Object.entries(entries).map(([key, value]) => ({ key, value }));
    const request = {
      namespace: namespaceText(namespace),
      entries: list.map((entry, i) => {
        rejectUnknown(entry, ["key", "value", ...entryNames], "INVALID_BATCH", `entries[${i}]`);
        return entryInit(namespace, entry, this.#transport.json, `entries[${i}].`);
      }),
    };
    const { records } = await this.#transport.write(rpc.batchSet, request, options);
    return records.map((record) => toRecord(record, this.#transport.json));
  }

  /**
   * Deletes every entry of a namespace, all of them or none. `timeoutMs` is 60 seconds by default. For a
   * large namespace, `stepped: true` deletes it in steps, each of which is all or nothing: see PurgeOptions.
   *
   * @returns How many entries were deleted (in steps: by all steps), and the first 1000 keys.
   * @throws INVALID_LIMIT (`entriesPerStep`), INVALID_REQUEST_ID, REQUEST_ID_REUSED. If a step fails, the
   * steps before it stay done.
   *
   * ```ts
   * await cortex.mutable.purgeNamespace("old-config");
   * await cortex.mutable.purgeNamespace("events", {
   *   stepped: true,
   *   onProgress: ({ deleted }) => console.log(`${deleted} entries deleted`),
   * });
   * ```
   */
  async purgeNamespace(namespace: string, options: PurgeOptions = {}): Promise<PurgeResult> {
    const request = { namespace: namespaceText(namespace) };
    const result = await runPurge(options, "purgeNamespace", (fields, write) =>
      this.#transport.write(rpc.purgeNamespace, { ...request, ...fields }, write),
    );
    return toPurgeResult(namespace, result);
  }

  /**
   * Deletes the entries that match, all of them or none, or in steps: see `purgeNamespace`.
   *
   * @throws INVALID_FILTER, also if no filter is given. Use `purgeNamespace` to delete all entries.
   * INVALID_USER_ID, and what `purgeNamespace` throws.
   */
  async purgeMany(
    namespace: string,
    filters: MutableFilters,
    options: PurgeOptions = {},
  ): Promise<PurgeResult> {
    const request = { namespace: namespaceText(namespace), filter: filterOf(filters) };
    const result = await runPurge(options, "purgeMany", (fields, write) =>
      this.#transport.write(rpc.purgeMany, { ...request, ...fields }, write),
    );
    return toPurgeResult(namespace, result);
  }

  /**
   * Deletes every entry of the tenant: for tests and development. All of them or none, or in steps: see
   * `purgeNamespace`.
   *
   * @throws PURGE_ALL_DISABLED, unless the server was started with `--allow-purge-all`; INVALID_SCOPE of a scope,
   * which has `purge`; and what `purgeNamespace` throws.
   */
  async purgeAll(options: PurgeOptions = {}): Promise<{ deleted: number; dryRun: boolean }> {
    const { deleted, dryRun } = await runPurge(options, "purgeAll", (fields, write) =>
      this.#transport.write(rpc.purgeAll, fields, write),
    );
    return { deleted, dryRun };
  }

  /**
   * Sets when a key expires, whether or not it had a time before: `ttlSeconds` from now on. Value, user and metadata
   * stay. It is a write: it draws a revision, and watches see it.
   *
   * @returns True if the key exists, false if not.
   * @throws INVALID_TTL.
   */
  async expire(
    namespace: string,
    key: string,
    ttlSeconds: number,
    options: WriteOptions = {},
  ): Promise<boolean> {
    writeOptions(options, "expire");
    const operation = { case: "expire" as const, value: { ttlSeconds: secondsOf(ttlSeconds) } };
    const request = { namespace: namespaceText(namespace), key: keyText(key), operation };
    return this.#transport
      .write(rpc.update, request, options)
      .then(() => true, unless("KEY_NOT_FOUND"));
  }

  /** The same as `expire`. */
  touch(
    namespace: string,
    key: string,
    ttlSeconds: number,
    options: WriteOptions = {},
  ): Promise<boolean> {
    return this.expire(namespace, key, ttlSeconds, options);
  }

  /**
   * Stores a value if the key does not exist.
   *
   * @returns True if it was stored, false if the key exists.
   * @throws INVALID_VALUE, VALUE_TOO_LARGE, INVALID_TTL, USER_NOT_FOUND.
   */
  async once(
    namespace: string,
    key: string,
    value: unknown,
    options: EntryOptions & WriteOptions = {},
  ): Promise<boolean> {
    writeOptions(options, "once", entryNames);
    return this.set(namespace, key, value, { ...options, ifAbsent: true }).then(
      () => true,
      unless("KEY_EXISTS"),
    );
  }

  async #change<T>(
    namespace: string,
    key: string,
    operation: NonNullable<MessageInitShape<typeof UpdateRequestSchema>["operation"]>,
    options: ChangeOptions,
  ): Promise<MutableRecord<T>> {
    rejectUnknown(options, changeNames, "INVALID_OPTIONS", operation.case ?? "update");
    const { createIfMissing = false, ifRevision } = options;
    const { record } = await this.#transport.write(
      rpc.update,
      {
        namespace: namespaceText(namespace),
        key: keyText(key),
        operation,
        createIfMissing: flag(createIfMissing, "createIfMissing"),
        ...(ifRevision !== undefined && { ifRevision: revisionText(ifRevision) }),
      },
      options,
    );
    return toRecord<T>(record, this.#transport.json);
  }
}
