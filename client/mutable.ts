import type { MessageInitShape } from "@bufbuild/protobuf";
import { MutableStore, type UpdateRequestSchema } from "../gen/cortex/mutable/v1/mutable_pb.js";
import {
  amountText,
  callNames,
  callOptions,
  flag,
  keyText,
  listed,
  namespaceText,
  only,
  revisionText,
  text,
  userIdText,
} from "./arguments.js";
import type { Caller, CallOptions } from "./call.js";
import { CortexError } from "./error.js";
import {
  filterOf,
  listOf,
  type MutableFilters,
  type MutableOrder,
  type MutablePage,
  scanOf,
} from "./filters.js";
import { objectToJson, toJson } from "./json.js";
import { type MutableRecord, toDate, toRecord } from "./records.js";
import { type UpdateOptions, type Updater, Updates } from "./update.js";

/** What an entry carries besides its value. */
export interface EntryOptions {
  /** The user the entry belongs to; must exist. Undefined: as it was. null: nobody. */
  userId?: string | null | undefined;
  /** Any JSON object up to 64 KiB. Undefined: as it was. null: `{}`. */
  metadata?: Record<string, unknown> | null | undefined;
  /** Seconds until the entry expires: above 0, at most 100 years. Undefined: it does not expire, whatever was set before. */
  ttlSeconds?: number | undefined;
}

export interface SetOptions extends EntryOptions, CallOptions {
  /** Store only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
  /** Store only if the key does not exist, else KEY_EXISTS. */
  ifAbsent?: boolean | undefined;
}

export interface ChangeOptions extends CallOptions {
  /** Whether a missing key is created: from 0, `[]` or `{}`. Default: it is KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
  /** Change only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
}

export interface DeleteOptions extends CallOptions {
  /** Whether a missing key is KEY_NOT_FOUND. Default: it is `deleted: false`. */
  mustExist?: boolean | undefined;
  /** Delete only if the entry is at this revision, else REVISION_MISMATCH. */
  ifRevision?: string | undefined;
}

export interface PurgeOptions extends CallOptions {
  /** Whether to count only, and delete nothing. */
  dryRun?: boolean | undefined;
}

export interface DeleteResult {
  /** Whether there was something to delete. */
  deleted: boolean;
  namespace: string;
  key: string;
  /** When that was decided. */
  deletedAt: Date;
}

export interface PurgeResult {
  /** How many keys were (with dryRun: would be) deleted. */
  deleted: number;
  /** The same number. */
  keysDeleted: number;
  namespace: string;
  /** The first 1000 of the keys, by key. */
  keys: string[];
  dryRun: boolean;
}

/** What purging one key gives. */
export interface PurgeKeyResult extends Omit<PurgeResult, "deleted"> {
  /** Whether there was something to delete. */
  deleted: boolean;
  key: string;
  deletedAt: Date;
}

export interface MutableListResult<T = any> {
  records: MutableRecord<T>[];
  /** How many entries match in all. */
  total: number;
  limit: number;
  offset: number;
  /** Whether more entries match after these. */
  hasMore: boolean;
  /** Where to go on (`pageToken`); undefined where hasMore is false. */
  nextPageToken?: string;
}

export interface NamespaceSummary {
  namespace: string;
  /** How many entries it holds. */
  keys: number;
  /** How many bytes their values are, as UTF-8 JSON text. */
  bytes: number;
}

/** An entry of the list form of `setMany`. */
export interface SetManyEntry extends EntryOptions {
  key: string;
  value: unknown;
}

const rpc = MutableStore.method;
const entryNames = ["userId", "metadata", "ttlSeconds"];
const changeNames = ["createIfMissing", "ifRevision", ...callNames];
const scanPage = 1000;
const purgeTimeoutMs = 60_000;

/**
 * Live shared JSON under namespace + key.
 *
 * Every method throws CortexError: besides the codes it names, INVALID_NAMESPACE, INVALID_KEY, INVALID_OPTIONS, UNAVAILABLE,
 * DATABASE_UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED. Every method takes `{ timeoutMs, signal }` as its last options.
 */
export class Mutable {
  readonly #caller: Caller;
  readonly #updates: Updates;

  constructor(caller: Caller) {
    this.#caller = caller;
    this.#updates = new Updates(caller);
  }

  /**
   * Stores a value, whether or not the key exists. What is not given (user, metadata) stays as it was; a ttl that is not given ends.
   *
   * @param value Any JSON value up to 1 MiB; a `Date` is stored as its ISO string.
   * @param options The user's id, or `{ userId, metadata, ttlSeconds, ifRevision, ifAbsent }`.
   * @returns The record as stored.
   * @throws INVALID_VALUE (with the path), VALUE_TOO_LARGE, VALUE_TOO_DEEP, INVALID_METADATA, INVALID_USER_ID, INVALID_TTL,
   * USER_NOT_FOUND, KEY_EXISTS (ifAbsent), REVISION_MISMATCH (ifRevision; `details.current_revision`).
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
    only(given, [...entryNames, "ifRevision", "ifAbsent", ...callNames], "INVALID_OPTIONS", "set");
    const { ifRevision, ifAbsent = false } = given;
    const { record } = await this.#caller.unary(
      rpc.set,
      {
        namespace: namespaceText(namespace),
        ...entryOf({ key, value, ...given }),
        ifAbsent: flag(ifAbsent, "ifAbsent"),
        ...(ifRevision !== undefined && { ifRevision: revisionText(ifRevision) }),
      },
      given,
    );
    return toRecord<T>(record);
  }

  /**
   * Reads a value and counts the access (`accessCount`, `lastAccessed`).
   *
   * @returns The value; null where the key does not exist (and where null is stored: `getRecord` tells these apart).
   *
   * ```ts
   * const qty = await cortex.mutable.get<number>("inventory", "widget-qty");
   * ```
   */
  async get<T = any>(namespace: string, key: string, options: CallOptions = {}): Promise<T | null> {
    callOptions(options, "get");
    const request = { namespace: namespaceText(namespace), key: keyText(key) };
    const { valueJson } = await this.#caller.unary(rpc.get, request, options);
    return valueJson === undefined ? null : (JSON.parse(valueJson) as T);
  }

  /**
   * Reads a whole record without counting the access.
   *
   * @returns The record; null where the key does not exist.
   */
  async getRecord<T = any>(
    namespace: string,
    key: string,
    options: CallOptions = {},
  ): Promise<MutableRecord<T> | null> {
    callOptions(options, "getRecord");
    const request = { namespace: namespaceText(namespace), key: keyText(key) };
    const { record } = await this.#caller.unary(rpc.getRecord, request, options);
    return record ? toRecord<T>(record) : null;
  }

  /** Whether a key exists. Counts no access. */
  async exists(namespace: string, key: string, options: CallOptions = {}): Promise<boolean> {
    callOptions(options, "exists");
    const request = { namespace: namespaceText(namespace), key: keyText(key) };
    return (await this.#caller.unary(rpc.exists, request, options)).exists;
  }

  /**
   * Changes a value by a function of it, atomically: the result is stored only if nobody wrote in between, else the function runs
   * again on what they wrote. So it may run several times, and must have no side effects. User, metadata and expiry stay.
   * `timeoutMs` counts from this update's turn: updates that one client makes to one key are made one after the other.
   *
   * @param updater Gets the current value, gives the new one; may be async.
   * @returns The record as stored.
   * @throws KEY_NOT_FOUND (unless createIfMissing, which calls the updater with null), UPDATE_FAILED (the updater threw; its error
   * is the `cause`, nothing was written), INVALID_UPDATER, INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP.
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
    only(options, ["createIfMissing", ...callNames], "INVALID_OPTIONS", "update");
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
   * Adds to a number in the database, in exact decimal arithmetic: 0.1 + 0.2 is 0.3, and no concurrent increment is lost.
   *
   * @param amount A number, or decimal text for more digits than a number holds. Default: 1.
   * @returns The record as stored.
   * @throws KEY_NOT_FOUND (unless createIfMissing, which starts from 0), VALUE_NOT_NUMERIC, INVALID_AMOUNT, NUMBER_OUT_OF_RANGE,
   * REVISION_MISMATCH (ifRevision).
   */
  async increment(
    namespace: string,
    key: string,
    amount: number | string | bigint = 1,
    options: ChangeOptions = {},
  ): Promise<MutableRecord<number>> {
    const value = { amount: amountText(amount) };
    return this.#change(namespace, key, { case: "increment", value }, options);
  }

  /** Subtracts from a number in the database: see `increment`. */
  async decrement(
    namespace: string,
    key: string,
    amount: number | string | bigint = 1,
    options: ChangeOptions = {},
  ): Promise<MutableRecord<number>> {
    const value = { amount: amountText(amount) };
    return this.#change(namespace, key, { case: "decrement", value }, options);
  }

  /**
   * Appends one element to an array in the database.
   *
   * @returns The record as stored.
   * @throws KEY_NOT_FOUND (unless createIfMissing, which starts from `[]`), VALUE_NOT_ARRAY, INVALID_VALUE, VALUE_TOO_LARGE,
   * VALUE_TOO_DEEP, REVISION_MISMATCH (ifRevision).
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
   * Merges a patch into an object in the database, as JSON merge patch does (RFC 7396): members replace members, also in nested
   * objects; null removes one.
   *
   * @returns The record as stored.
   * @throws KEY_NOT_FOUND (unless createIfMissing, which starts from `{}`), INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP,
   * REVISION_MISMATCH (ifRevision).
   */
  async merge<T = any>(
    namespace: string,
    key: string,
    patch: unknown,
    options: ChangeOptions = {},
  ): Promise<MutableRecord<T>> {
    const value = { patchJson: toJson(patch, "patch") };
    return this.#change(namespace, key, { case: "merge", value }, options);
  }

  /**
   * Deletes a key. A missing key is `deleted: false`, no error.
   *
   * @throws KEY_NOT_FOUND (mustExist), REVISION_MISMATCH (ifRevision).
   */
  async delete(namespace: string, key: string, options: DeleteOptions = {}): Promise<DeleteResult> {
    only(options, ["mustExist", "ifRevision", ...callNames], "INVALID_OPTIONS", "delete");
    const { mustExist = false, ifRevision } = options;
    const { deleted, deleteTime } = await this.#caller.unary(
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

  /** Deletes a key, as `delete` does, with the counts of the other purges. */
  async purge(namespace: string, key: string, options: CallOptions = {}): Promise<PurgeKeyResult> {
    callOptions(options, "purge");
    const { deleted, deletedAt } = await this.delete(namespace, key, options);
    const keys = deleted ? [key] : [];
    return { deleted, keysDeleted: keys.length, namespace, key, keys, dryRun: false, deletedAt };
  }

  /**
   * Lists records, one page at a time: at most 1000, by default 100. `scan` gives all.
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
    const messages = await this.#caller.stream(rpc.list, request, options);
    const last = messages.at(-1);
    return {
      records: messages.flatMap(({ records }) => records.map((record) => toRecord<T>(record))),
      ...(last?.total !== undefined && { total: Number(last.total) }),
      limit: filters.limit ?? 100,
      offset: filters.offset ?? 0,
      hasMore: last?.hasMore ?? false,
      ...(last?.nextPageToken && { nextPageToken: last.nextPageToken }),
    };
  }

  /**
   * Every record that matches, in constant memory, page by page: what is written meanwhile may or may not be among them, what is
   * not written meanwhile is there exactly once (sorted by key; by another order, what moves in it may come twice or not at all).
   * `timeoutMs` bounds the wait for each message of about 100 records; a connection that breaks is made up for.
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
      for await (const message of this.#caller.messages(rpc.list, page, options)) {
        for (const record of message.records) yield toRecord<T>(record);
        pageToken = message.nextPageToken;
      }
    } while (pageToken !== "");
  }

  /** Counts the entries that match. Takes filters only: a limit or a sort has no meaning here and is INVALID_FILTER. */
  async count(
    namespace: string,
    filters: MutableFilters = {},
    options: CallOptions = {},
  ): Promise<number> {
    callOptions(options, "count");
    const request = { namespace: namespaceText(namespace), filter: filterOf(filters) };
    return Number((await this.#caller.unary(rpc.count, request, options)).count);
  }

  /** The namespaces that hold at least one entry, by name, with their size. */
  async listNamespaces(
    options: { prefix?: string | undefined } & CallOptions = {},
  ): Promise<NamespaceSummary[]> {
    only(options, ["prefix", ...callNames], "INVALID_OPTIONS", "listNamespaces");
    const { prefix } = options;
    const filter = prefix === undefined ? {} : { prefix: text(prefix, "prefix", "INVALID_FILTER") };
    const found: NamespaceSummary[] = [];
    let pageToken = "";
    do {
      const request = { ...filter, limit: scanPage, pageToken };
      const page = await this.#caller.unary(rpc.listNamespaces, request, options);
      for (const { namespace, keys, bytes } of page.namespaces)
        found.push({ namespace, keys: Number(keys), bytes: Number(bytes) });
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return found;
  }

  /**
   * Reads several keys as of one moment, without counting accesses.
   *
   * @param keys At most 1000.
   * @returns The values in the order of the keys, null where a key does not exist.
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
    const { results } = await this.#caller.unary(rpc.batchGet, request, options);
    return results.map(({ record }) => (record ? (JSON.parse(record.valueJson) as T) : null));
  }

  /**
   * Stores several keys, all of them or none.
   *
   * @param entries `{ key: value }`, or a list of `{ key, value, userId, metadata, ttlSeconds }`; at most 1000, each key once.
   * @returns The records as stored, in the order of the entries.
   * @throws INVALID_BATCH, and what `set` throws.
   */
  async setMany(
    namespace: string,
    entries: Readonly<Record<string, unknown>> | readonly SetManyEntry[],
    options: CallOptions = {},
  ): Promise<MutableRecord[]> {
    callOptions(options, "setMany");
    if (typeof entries !== "object" || entries === null) listed(entries, "entries");
    const list: readonly SetManyEntry[] = Array.isArray(entries)
      ? (entries as readonly SetManyEntry[])
      : Object.entries(entries).map(([key, value]) => ({ key, value }));
    const request = {
      namespace: namespaceText(namespace),
      entries: list.map((entry, i) => {
        only(entry, ["key", "value", ...entryNames], "INVALID_BATCH", `entries[${i}]`);
        return entryOf(entry, `entries[${i}].`);
      }),
    };
    const { records } = await this.#caller.unary(rpc.batchSet, request, options);
    return records.map((record) => toRecord(record));
  }

  /** Deletes every entry of a namespace, all of them or none. `timeoutMs` is 60 seconds unless given. */
  async purgeNamespace(namespace: string, options: PurgeOptions = {}): Promise<PurgeResult> {
    only(options, ["dryRun", ...callNames], "INVALID_OPTIONS", "purgeNamespace");
    const request = {
      namespace: namespaceText(namespace),
      dryRun: flag(options.dryRun ?? false, "dryRun"),
    };
    const purged = await this.#caller.unary(rpc.purgeNamespace, request, patient(options));
    return toPurgeResult(namespace, purged);
  }

  /**
   * Deletes the entries that match, all of them or none. `timeoutMs` is 60 seconds unless given.
   *
   * @throws INVALID_FILTER, also where no filter is given: that is `purgeNamespace`.
   */
  async purgeMany(
    namespace: string,
    filters: MutableFilters,
    options: PurgeOptions = {},
  ): Promise<PurgeResult> {
    only(options, ["dryRun", ...callNames], "INVALID_OPTIONS", "purgeMany");
    const request = {
      namespace: namespaceText(namespace),
      filter: filterOf(filters),
      dryRun: flag(options.dryRun ?? false, "dryRun"),
    };
    const purged = await this.#caller.unary(rpc.purgeMany, request, patient(options));
    return toPurgeResult(namespace, purged);
  }

  /**
   * Deletes every entry of the tenant: for tests and development.
   *
   * @throws PURGE_ALL_DISABLED, unless the server was started with `--allow-purge-all`.
   */
  async purgeAll(options: PurgeOptions = {}): Promise<{ deleted: number; dryRun: boolean }> {
    only(options, ["dryRun", ...callNames], "INVALID_OPTIONS", "purgeAll");
    const request = { dryRun: flag(options.dryRun ?? false, "dryRun") };
    const { deleted, dryRun } = await this.#caller.unary(rpc.purgeAll, request, patient(options));
    return { deleted: Number(deleted), dryRun };
  }

  async #change<T>(
    namespace: string,
    key: string,
    operation: NonNullable<MessageInitShape<typeof UpdateRequestSchema>["operation"]>,
    options: ChangeOptions,
  ): Promise<MutableRecord<T>> {
    only(options, changeNames, "INVALID_OPTIONS", operation.case ?? "update");
    const { createIfMissing = false, ifRevision } = options;
    const { record } = await this.#caller.unary(
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
    return toRecord<T>(record);
  }
}

const patient = (options: CallOptions): CallOptions => ({
  timeoutMs: options.timeoutMs ?? purgeTimeoutMs,
  signal: options.signal,
});

function entryOf({ key, value, userId, metadata, ttlSeconds }: SetManyEntry, prefix = "") {
  if (ttlSeconds !== undefined && typeof ttlSeconds !== "number")
    throw new CortexError("INVALID_TTL", `${prefix}ttlSeconds is not a number`, {
      field: `${prefix}ttlSeconds`,
    });
  return {
    key: keyText(key, `${prefix}key`),
    valueJson: toJson(value, `${prefix}value`),
    ...(userId === null && { clearUserId: true }),
    ...(userId !== null &&
      userId !== undefined && { userId: userIdText(userId, `${prefix}userId`) }),
    ...(metadata === null && { clearMetadata: true }),
    ...(metadata !== null &&
      metadata !== undefined && { metadataJson: objectToJson(metadata, `${prefix}metadata`) }),
    ...(ttlSeconds !== undefined && { ttlSeconds }),
  };
}

function toPurgeResult(
  namespace: string,
  { deleted, keys, dryRun }: { deleted: bigint; keys: string[]; dryRun: boolean },
): PurgeResult {
  const count = Number(deleted);
  return { deleted: count, keysDeleted: count, namespace, keys, dryRun };
}
