// Runs a transaction's callback once, on the values that have been read so far.

import { CortexError, messageOf } from "../../core/error.js";
import { toJson } from "../../core/json.js";
import { flag, keyText, namespaceText, rejectUnknown } from "../../core/validate.js";
import { type ImmutableEntry, storeInit } from "../../immutable/versions.js";
import { entryNames, setInit } from "../entries.js";
import type { EntryOptions } from "../options.js";
import { isPromise } from "../updater.js";
import type { EntryKey, OperationInit, ReadState } from "./locked.js";

/**
 * The methods for the callback of a transaction. None of them waits, so `await` may be written or left out.
 */
export interface Transaction {
  /** The value, as this transaction sees it; null if the key does not exist. */
  get<T = any>(namespace: string, key: string): T | null;
  /** Stores a value: see `mutable.set`. */
  set(namespace: string, key: string, value: unknown, options?: string | null | EntryOptions): void;
  /**
   * Changes a value by a function, which must not be async. A missing key fails the transaction with
   * KEY_NOT_FOUND, unless `createIfMissing`, which calls the function with null.
   */
  update<T = any>(
    namespace: string,
    key: string,
    updater: (current: T) => T,
    options?: { createIfMissing?: boolean | undefined },
  ): void;
  /** Deletes a key. A missing key fails the transaction with KEY_NOT_FOUND. */
  delete(namespace: string, key: string): void;
  /** Stores a version of an immutable record, together with the rest or not at all: see `immutable.store`. */
  store(entry: ImmutableEntry, options?: { ifVersion?: number | undefined }): void;
}

export const keyName = ({ namespace, key }: EntryKey): string => `${namespace}\0${key}`;

/**
 * Ends a run that needs a key that was not read yet. The callback runs again, even if it catches this error.
 */
class Missing extends Error {}

export class CallbackRun {
  readonly operations: OperationInit[] = [];
  /** The error that the callback threw. It counts only if no key was missing. */
  error: CortexError | undefined;
  readonly #missing = new Map<string, EntryKey>();
  /** The writes so far: JSON text; undefined for a delete; null for an update whose key was not read yet. */
  readonly #written = new Map<string, string | undefined | null>();
  #over = false;

  constructor(readonly seen: ReadonlyMap<string, ReadState>) {}

  get missing(): EntryKey[] {
    return [...this.#missing.values()];
  }

  async take(callback: (tx: Transaction) => unknown): Promise<void> {
    // Bound functions, so that a callback may destructure it.
    const tx: Transaction = {
      get: (namespace, key) => this.#withIndex(() => this.get(namespace, key)),
      set: (...args) => this.#withIndex(() => this.set(...args)),
      update: (...args) => this.#withIndex(() => this.update(...args)),
      delete: (...args) => this.#withIndex(() => this.delete(...args)),
      store: (...args) => this.#withIndex(() => this.store(...args)),
    };
    try {
      await callback(tx);
    } catch (error) {
      const own = error instanceof CortexError ? failed.get(error) : undefined;
      const reason = error instanceof CortexError ? error.code : undefined;
      this.error = new CortexError(
        "TRANSACTION_FAILED",
        `the callback threw, nothing was written: ${messageOf(error)}`,
        {
          ...(reason && { reason }),
          ...(own && { ...(error as CortexError).details, ...own }),
        },
        { cause: error },
      );
    } finally {
      this.#over = true;
    }
  }

  /** Records which operation failed, so that the error can name its index. */
  #withIndex<T>(operation: () => T): T {
    try {
      return operation();
    } catch (error) {
      if (error instanceof CortexError)
        failed.set(error, { reason: error.code, operationIndex: this.operations.length });
      throw error;
    }
  }

  get<T>(namespace: string, key: string): T | null {
    const json = this.#read(this.#parse(namespace, key));
    return json === undefined ? null : (JSON.parse(json) as T);
  }

  set(
    namespace: string,
    key: string,
    value: unknown,
    options: string | null | EntryOptions = {},
  ): void {
    const given = typeof options === "string" || options === null ? { userId: options } : options;
    rejectUnknown(given, entryNames, "INVALID_OPTIONS", "set");
    const set = setInit(value, given);
    this.#write(this.#parse(namespace, key), { case: "set", value: set }, set.valueJson);
  }

  update<T>(
    namespace: string,
    key: string,
    updater: (current: T) => T,
    options: { createIfMissing?: boolean | undefined } = {},
  ): void {
    rejectUnknown(options, ["createIfMissing"], "INVALID_OPTIONS", "update");
    const createIfMissing = flag(options.createIfMissing ?? false, "createIfMissing");
    if (typeof updater !== "function")
      throw new CortexError("INVALID_UPDATER", "the updater is not a function");
    const entry = this.#parse(namespace, key);
    const json = this.#find(entry);
    if (json === null) {
      this.#written.set(keyName(entry), null); // the run goes on, to find out what else it reads
      return;
    }
    if (json === undefined && !createIfMissing)
      throw keyNotFound(
        `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}; { createIfMissing: true } creates it`,
        entry,
      );
    const next = updater((json === undefined ? null : JSON.parse(json)) as T) as unknown;
    if (isPromise(next)) {
      Promise.resolve(next).catch(() => {});
      throw new CortexError("INVALID_UPDATER", "an updater in a transaction must not be async");
    }
    const valueJson = toJson(next);
    const operation = json === undefined ? ("set" as const) : ("replace" as const);
    this.#write(entry, { case: operation, value: { valueJson } }, valueJson);
  }

  delete(namespace: string, key: string): void {
    const entry = this.#parse(namespace, key);
    const json = this.#find(entry);
    if (json === undefined)
      throw keyNotFound(
        `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}`,
        entry,
      );
    this.#write(entry, { case: "delete", value: {} }, undefined);
  }

  store(entry: ImmutableEntry, options: { ifVersion?: number | undefined } = {}): void {
    this.#checkNotOver();
    rejectUnknown(options, ["ifVersion"], "INVALID_OPTIONS", "store");
    this.operations.push({
      operation: { case: "store", value: storeInit(entry, options.ifVersion) },
    });
  }

  #checkNotOver(): void {
    if (this.#over)
      throw new CortexError("INVALID_OPERATIONS", "the transaction is over: await in its callback");
  }

  #parse(namespace: string, key: string): EntryKey {
    this.#checkNotOver();
    return { namespace: namespaceText(namespace), key: keyText(key) };
  }

  /** The JSON under a key; undefined if nothing is stored; null if the key was not read yet. */
  #find(entry: EntryKey): string | undefined | null {
    const id = keyName(entry);
    if (this.#written.has(id)) return this.#written.get(id);
    const seen = this.seen.get(id);
    if (seen) return seen.json;
    this.#missing.set(id, entry);
    return null;
  }

  #read(entry: EntryKey): string | undefined {
    const json = this.#find(entry);
    if (json === null) throw new Missing("the transaction runs again once this is read");
    return json;
  }

  #write(entry: EntryKey, operation: OperationInit["operation"], json: string | undefined): void {
    this.#written.set(keyName(entry), json);
    this.operations.push({ ...entry, operation: operation as never });
  }
}

/** The details that TRANSACTION_FAILED adds for the error of an operation. */
const failed = new WeakMap<CortexError, { reason: string; operationIndex: number }>();

const keyNotFound = (message: string, { namespace, key }: EntryKey) =>
  new CortexError("KEY_NOT_FOUND", message, { namespace, key });
