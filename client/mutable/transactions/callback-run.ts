// Runs a transaction's callback once, on the values that have been read so far.
import { CortexError } from "../../core/error.js";
import { type Json, toJson } from "../../core/json.js";
import {
  amountText,
  flag,
  keyText,
  listed,
  namespaceText,
  rejectUnknown,
  secondsOf,
  text,
  whole,
} from "../../core/validate.js";
import { type EventOptions, eventInit } from "../../events/event.js";
import { type ImmutableEntry, storeInit } from "../../immutable/versions.js";
import { type AppendEntryOptions, appendInit } from "../../streams/entry.js";
import { entryNames, setInit } from "../entries.js";
import type { EntryOptions } from "../options.js";
import { valueName } from "../records.js";
import { isPromise } from "../updater.js";
import type {
  CreateOption,
  Transaction,
  TransactionEntry,
  TransactionListOptions,
} from "./callback.js";
import { callbackThrew, keyNotFound, noteIndex } from "./callback-errors.js";
import { type Change, changed } from "./changes.js";
import {
  bytewise,
  type EntryKey,
  keyName,
  type ListRequest,
  listName,
  type OperationInit,
  type Seen,
} from "./locked.js";

/** Ends a run that needs unread keys or lists. The callback runs again, even if it catches this error. */
class Missing extends Error {}

export class CallbackRun {
  readonly operations: OperationInit[] = [];
  /** The error that the callback threw. It counts only if no key was missing. */
  error: CortexError | undefined;
  /** The value that the callback returned. */
  value: unknown;
  readonly #missing = new Map<string, EntryKey>();
  readonly #missingLists = new Map<string, ListRequest>();
  /** Changes that the server computes. They are computed here too once the callback reads their key. */
  readonly #changes = new Map<string, Change[]>();
  /** The values written so far: JSON text; undefined for a delete; null for an update of an unread key. */
  readonly #written = new Map<string, string | undefined | null>();
  /** The keys that the callback has written, by `keyName`. */
  readonly #entries = new Map<string, EntryKey>();
  #over = false;

  constructor(
    readonly seen: Seen,
    readonly json: Json,
  ) {}

  get missing(): EntryKey[] {
    return [...this.#missing.values()];
  }

  get missingLists(): ListRequest[] {
    return [...this.#missingLists.values()];
  }

  async take(callback: (tx: Transaction) => unknown): Promise<void> {
    const add =
      (what: "increment" | "decrement"): Transaction["increment"] =>
      (namespace, key, amount = 1, options) =>
        this.#withIndex(() => {
          const value = { amount: amountText(amount) };
          this.#change(namespace, key, { case: what, value } as Change, options);
        });
    // The functions are bound, so that a callback may destructure `tx`.
    const tx: Transaction = {
      get: (namespace, key) => this.#withIndex(() => this.get(namespace, key)),
      set: (...args) => this.#withIndex(() => this.set(...args)),
      update: (...args) => this.#withIndex(() => this.update(...args)),
      getMany: (namespace, keys) => this.#withIndex(() => this.getMany(namespace, keys)),
      list: (namespace, options) => this.#withIndex(() => this.list(namespace, options)),
      increment: add("increment"),
      decrement: add("decrement"),
      append: (namespace, key, element, options) =>
        this.#withIndex(() => {
          const value = { valueJson: toJson(element, "element") };
          this.#change(namespace, key, { case: "append", value }, options);
        }),
      merge: (namespace, key, patch, options) =>
        this.#withIndex(() => {
          const before = this.json.textsAt(valueName(namespace, key));
          const value = { patchJson: toJson(patch, "patch", before) };
          this.#change(namespace, key, { case: "merge", value }, options);
        }),
      expire: (...args) => this.#withIndex(() => this.expire(...args)),
      touch: (...args) => this.#withIndex(() => this.expire(...args)),
      delete: (...args) => this.#withIndex(() => this.delete(...args)),
      store: (...args) => this.#withIndex(() => this.store(...args)),
      publish: (...args) => this.#withIndex(() => this.publish(...args)),
      appendEntry: (...args) => this.#withIndex(() => this.appendEntry(...args)),
    };
    try {
      this.value = await callback(tx);
    } catch (error) {
      this.error = callbackThrew(error);
    } finally {
      this.#over = true;
    }
  }

  /** Records which operation failed, so that the error can name its index. */
  #withIndex<T>(operation: () => T): T {
    try {
      return operation();
    } catch (error) {
      noteIndex(error, this.operations.length);
      throw error;
    }
  }

  get<T>(namespace: string, key: string): T | null {
    return this.#value(this.#parse(namespace, key));
  }

  getMany<T>(namespace: string, keys: readonly string[]): (T | null)[] {
    const entries = listed(keys, "keys").map((key) => this.#parse(namespace, key));
    // `#find` notes a key that is not read yet. All are noted first, so one read fetches them together.
    for (const entry of entries) this.#find(entry);
    return entries.map((entry) => this.#value(entry));
  }

  list<T>(namespace: string, options: TransactionListOptions = {}): TransactionEntry<T>[] {
    this.#checkNotOver();
    rejectUnknown(options, ["keyPrefix", "limit"], "INVALID_OPTIONS", "list");
    const { keyPrefix, limit = 100 } = options;
    const request: ListRequest = {
      namespace: namespaceText(namespace),
      ...(keyPrefix !== undefined && { keyPrefix: text(keyPrefix, "keyPrefix", "INVALID_FILTER") }),
      limit: whole(limit, "limit", "INVALID_LIMIT"),
    };
    const stored = this.seen.lists.get(listName(request));
    if (!stored) {
      this.#missingLists.set(listName(request), request);
      throw new Missing("the transaction runs again once this is listed");
    }
    const written = [...this.#entries.values()].filter(
      (entry) => entry.namespace === namespace && entry.key.startsWith(keyPrefix ?? ""),
    );
    const keys = [...new Set([...stored, ...written.map(({ key }) => key)])].sort(bytewise);
    for (const key of keys) this.#find({ namespace, key }); // notes what is not read yet, as in getMany
    return keys.flatMap((key) => {
      const stored = this.#find({ namespace, key }) !== undefined;
      return stored ? { key, value: this.#value<T>({ namespace, key }) as T } : [];
    });
  }

  #change(namespace: string, key: string, change: Change, options: CreateOption = {}): void {
    rejectUnknown(options, ["createIfMissing"], "INVALID_OPTIONS", `${change.case}`);
    const createIfMissing = flag(options.createIfMissing ?? false, "createIfMissing");
    const entry = this.#parse(namespace, key);
    const id = keyName(entry);
    const known = this.#written.get(id);
    if (known !== undefined && known !== null) this.#written.set(id, changed(change, known));
    else this.#changes.set(id, [...(this.#changes.get(id) ?? []), change]);
    this.#entries.set(id, entry);
    this.operations.push({ ...entry, operation: change, createIfMissing });
  }

  set(
    namespace: string,
    key: string,
    value: unknown,
    options: string | null | EntryOptions = {},
  ): void {
    const given = typeof options === "string" || options === null ? { userId: options } : options;
    rejectUnknown(given, entryNames, "INVALID_OPTIONS", "set");
    const entry = this.#parse(namespace, key);
    const set = setInit(entry, value, given, this.json);
    this.#write(entry, { case: "set", value: set }, set.valueJson);
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
      throw keyNotFound(entry, "; { createIfMissing: true } creates it");
    const read = json === undefined ? undefined : this.json.read(json);
    const next = updater((read === undefined ? null : read.value) as T) as unknown;
    if (isPromise(next)) {
      Promise.resolve(next).catch(() => {});
      throw new CortexError("INVALID_UPDATER", "an updater in a transaction must not be async");
    }
    const valueJson = toJson(next, "value", read?.texts);
    const operation = json === undefined ? ("set" as const) : ("replace" as const);
    this.#write(entry, { case: operation, value: { valueJson } }, valueJson);
  }

  expire(namespace: string, key: string, ttlSeconds: number): void {
    const operation = { case: "expire" as const, value: { ttlSeconds: secondsOf(ttlSeconds) } };
    this.operations.push({ ...this.#parse(namespace, key), operation });
  }

  delete(namespace: string, key: string): void {
    const entry = this.#parse(namespace, key);
    const json = this.#find(entry);
    if (json === undefined) throw keyNotFound(entry);
    this.#write(entry, { case: "delete", value: {} }, undefined);
  }

  store(entry: ImmutableEntry, options: { ifVersion?: number | undefined } = {}): void {
    this.#checkNotOver();
    rejectUnknown(options, ["ifVersion"], "INVALID_OPTIONS", "store");
    this.operations.push({
      operation: { case: "store", value: storeInit(entry, options.ifVersion, this.json) },
    });
  }

  publish(channel: string, data: unknown, options: EventOptions = {}): void {
    this.#checkNotOver();
    rejectUnknown(options, ["userId"], "INVALID_OPTIONS", "publish");
    const value = eventInit({ channel, data, ...options });
    this.operations.push({ operation: { case: "publish", value } });
  }

  appendEntry(stream: string, data: unknown, options: AppendEntryOptions = {}): void {
    this.#checkNotOver();
    const value = appendInit(stream, data, options, "appendEntry");
    this.operations.push({ operation: { case: "appendEntries", value } });
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
    const before = this.#written.has(id) ? this.#written.get(id) : this.#stored(id, entry);
    const changes = this.#changes.get(id);
    if (!changes || before === null) return before;
    const json = changes.reduce<string | undefined>((json, one) => changed(one, json), before);
    this.#changes.delete(id);
    this.#written.set(id, json);
    return json;
  }

  #stored(id: string, entry: EntryKey): string | undefined | null {
    const seen = this.seen.keys.get(id);
    if (seen) return seen.json;
    this.#missing.set(id, entry);
    return null;
  }

  #value<T>(entry: EntryKey): T | null {
    const json = this.#find(entry);
    if (json === null) throw new Missing("the transaction runs again once this is read");
    return json === undefined
      ? null
      : this.json.parse<T>(json, valueName(entry.namespace, entry.key));
  }

  #write(entry: EntryKey, operation: OperationInit["operation"], json: string | undefined): void {
    const id = keyName(entry);
    this.#written.set(id, json);
    this.#changes.delete(id);
    this.#entries.set(id, entry);
    this.operations.push({ ...entry, operation: operation as never });
  }
}
