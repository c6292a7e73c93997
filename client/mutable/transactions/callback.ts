// The methods for a transaction's callback. callback-run.ts implements them.
import type { EventOptions } from "../../events/event.js";
import type { ImmutableEntry } from "../../immutable/versions.js";
import type { AppendEntryOptions } from "../../streams/entry.js";
import type { EntryOptions } from "../options.js";

export interface CreateOption {
  /** If true, a missing key is created. Default: the transaction fails with KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
}

export interface TransactionListOptions {
  /** Only keys that begin with this text. */
  keyPrefix?: string | undefined;
  /** How many entries at most: 1 to 1000. Default: 100. */
  limit?: number | undefined;
}

/** An entry that a transaction has listed. */
export interface TransactionEntry<T = any> {
  key: string;
  value: T;
}

/**
 * The methods for the callback of a transaction. None of them waits, so `await` may be written or left out.
 */
export interface Transaction {
  /**
   * The value, as this transaction sees it; null if the key does not exist. An integer that a number cannot
   * hold is a bigint.
   */
  get<T = any>(namespace: string, key: string): T | null;
  /**
   * The values in the order of the keys, as `get` gives them. An integer that a number cannot hold is a
   * bigint.
   */
  getMany<T = any>(namespace: string, keys: readonly string[]): (T | null)[];
  /**
   * The entries of a namespace by key, as this transaction sees them. Nobody else can create a key in the
   * namespace until the transaction ends. For that, a transaction that lists takes locks from its start.
   *
   * @param options `keyPrefix`; `limit`, 1 to 1000, by default 100.
   * @throws REPLY_TOO_LARGE if more entries match than `limit`.
   */
  list<T = any>(namespace: string, options?: TransactionListOptions): TransactionEntry<T>[];
  /** Stores a value: see `mutable.set`. */
  set(namespace: string, key: string, value: unknown, options?: string | null | EntryOptions): void;
  /**
   * Changes a value by a function, which must not be async. A missing key fails the transaction with
   * KEY_NOT_FOUND. With `createIfMissing` the function is called with null instead.
   */
  update<T = any>(
    namespace: string,
    key: string,
    updater: (current: T) => T,
    options?: CreateOption,
  ): void;
  /** Adds to a number, in exact decimal arithmetic: see `mutable.increment`. It does not read the key. */
  increment(
    namespace: string,
    key: string,
    amount?: number | string | bigint,
    options?: CreateOption,
  ): void;
  /** Subtracts from a number: see `increment`. */
  decrement(
    namespace: string,
    key: string,
    amount?: number | string | bigint,
    options?: CreateOption,
  ): void;
  /** Appends an element to an array: see `mutable.append`. It does not read the key. */
  append(namespace: string, key: string, element: unknown, options?: CreateOption): void;
  /** Merges a patch into an object: see `mutable.merge`. It does not read the key. */
  merge(namespace: string, key: string, patch: unknown, options?: CreateOption): void;
  /** Sets when a key expires: see `mutable.expire`. A missing key fails the transaction with KEY_NOT_FOUND. */
  expire(namespace: string, key: string, ttlSeconds: number): void;
  /** The same as `expire`. */
  touch(namespace: string, key: string, ttlSeconds: number): void;
  /** Deletes a key. A missing key fails the transaction with KEY_NOT_FOUND. */
  delete(namespace: string, key: string): void;
  /** Stores a version of an immutable record, together with the rest or not at all: see `immutable.store`. */
  store(entry: ImmutableEntry, options?: { ifVersion?: number | undefined }): void;
  /** Publishes an event, exactly if the transaction is committed: see `events.publish`. */
  publish(channel: string, data: unknown, options?: EventOptions): void;
  /** Appends an entry to a stream, exactly if the transaction is committed: see `streams.append`. */
  appendEntry(stream: string, data: unknown, options?: AppendEntryOptions): void;
}
