// One run of a transaction's callback, on what has been read so far.
import { flag, keyText, namespaceText, only } from "./arguments.js";
import { entryNames, setOf } from "./entries.js";
import { CortexError } from "./error.js";
import { toJson } from "./json.js";
import type { OperationInit, Place, Seen } from "./locked.js";
import type { EntryOptions } from "./options.js";

/** What the callback of a transaction works with. Nothing here waits, so `await` may be written or left out. */
export interface Transaction {
  /** The value, as this transaction sees it; null where the key does not exist. */
  get<T = any>(namespace: string, key: string): T | null;
  /** Stores a value: see `mutable.set`. */
  set(namespace: string, key: string, value: unknown, options?: EntryOptions): void;
  /**
   * Changes a value by a function of it, which must not be async. A missing key fails the transaction with KEY_NOT_FOUND, unless
   * `createIfMissing`, which calls the function with null.
   */
  update<T = any>(
    namespace: string,
    key: string,
    updater: (current: T) => T,
    options?: { createIfMissing?: boolean | undefined },
  ): void;
  /** Deletes a key. A missing key fails the transaction with KEY_NOT_FOUND. */
  delete(namespace: string, key: string): void;
}

export const idOf = ({ namespace, key }: Place): string => `${namespace}\0${key}`;

/** Ends a run that cannot go on before something is read. Whoever catches it does no harm: the run is repeated all the same. */
class Missing extends Error {}

export class Run implements Transaction {
  readonly operations: OperationInit[] = [];
  /** What the callback threw, once nothing is missing. */
  error: CortexError | undefined;
  readonly #missing = new Map<string, Place>();
  /** What it wrote: JSON text, or undefined where it deleted; null where that is not known before something is read. */
  readonly #written = new Map<string, string | undefined | null>();
  #over = false;

  constructor(readonly seen: ReadonlyMap<string, Seen>) {}

  get missing(): Place[] {
    return [...this.#missing.values()];
  }

  async take(callback: (tx: Transaction) => void | Promise<void>): Promise<void> {
    try {
      await callback(this);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      this.error = new CortexError(
        "TRANSACTION_FAILED",
        `the callback threw, nothing was written: ${said}`,
        error instanceof CortexError
          ? {
              ...error.details,
              reason: error.code,
              ...(failed.has(error) && { operationIndex: this.operations.length }),
            }
          : {},
        { cause: error },
      );
    } finally {
      this.#over = true;
    }
  }

  get<T>(namespace: string, key: string): T | null {
    const json = this.#read(this.#place(namespace, key));
    return json === undefined ? null : (JSON.parse(json) as T);
  }

  set(namespace: string, key: string, value: unknown, options: EntryOptions = {}): void {
    only(options, entryNames, "INVALID_OPTIONS", "set");
    const set = setOf(value, options);
    this.#write(this.#place(namespace, key), { case: "set", value: set }, set.valueJson);
  }

  update<T>(
    namespace: string,
    key: string,
    updater: (current: T) => T,
    options: { createIfMissing?: boolean | undefined } = {},
  ): void {
    only(options, ["createIfMissing"], "INVALID_OPTIONS", "update");
    const createIfMissing = flag(options.createIfMissing ?? false, "createIfMissing");
    if (typeof updater !== "function")
      throw new CortexError("INVALID_UPDATER", "the updater is not a function");
    const place = this.#place(namespace, key);
    const json = this.#look(place);
    if (json === null) {
      this.#written.set(idOf(place), null); // goes on without, to see what else it will want
      return;
    }
    if (json === undefined && !createIfMissing)
      throw failure(
        "KEY_NOT_FOUND",
        `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}; { createIfMissing: true } creates it`,
        place,
      );
    const next = updater((json === undefined ? null : JSON.parse(json)) as T) as unknown;
    if (next instanceof Promise) {
      next.catch(() => {});
      throw new CortexError("INVALID_UPDATER", "an updater in a transaction must not be async");
    }
    const valueJson = toJson(next);
    const operation = json === undefined ? ("set" as const) : ("replace" as const);
    this.#write(place, { case: operation, value: { valueJson } }, valueJson);
  }

  delete(namespace: string, key: string): void {
    const place = this.#place(namespace, key);
    const id = idOf(place);
    const seen = this.seen.get(id);
    const absent = this.#written.has(id)
      ? this.#written.get(id) === undefined
      : seen !== undefined && seen.json === undefined;
    if (absent)
      throw failure(
        "KEY_NOT_FOUND",
        `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}`,
        place,
      );
    this.#write(place, { case: "delete", value: {} }, undefined);
  }

  #place(namespace: string, key: string): Place {
    if (this.#over)
      throw new CortexError("INVALID_OPERATIONS", "the transaction is over: await in its callback");
    return { namespace: namespaceText(namespace), key: keyText(key) };
  }

  /** The JSON under a key; undefined where there is none, null where it is not known yet. */
  #look(place: Place): string | undefined | null {
    const id = idOf(place);
    if (this.#written.has(id)) return this.#written.get(id);
    const seen = this.seen.get(id);
    if (seen) return seen.json;
    this.#missing.set(id, place);
    return null;
  }

  #read(place: Place): string | undefined {
    const json = this.#look(place);
    if (json === null) throw new Missing("the transaction runs again once this is read");
    return json;
  }

  #write(place: Place, operation: OperationInit["operation"], json: string | undefined): void {
    this.#written.set(idOf(place), json);
    this.operations.push({ ...place, operation: operation as never });
  }
}

/** Errors of an operation itself, which the transaction names by its index. */
const failed = new WeakSet<Error>();

function failure(code: "KEY_NOT_FOUND", message: string, { namespace, key }: Place): CortexError {
  const error = new CortexError(code, message, { namespace, key });
  failed.add(error);
  return error;
}
