// A namespace with the plain surface that agents' tools use: get, set, delete, list.
import { refused } from "../core/error.js";
import { listed } from "../core/validate.js";
import { isPromise } from "../mutable/updater.js";
import type { Surface } from "../scopes/scope.js";
import { appendBounded } from "./accumulate.js";
import { refuseCredentials } from "./credentials.js";
import { readMany } from "./read-many.js";
import { unwrapErrors } from "./unwrap-errors.js";

export interface DataStoreOptions {
  /**
   * If true, all writes refuse a value or metadata that looks like a credential: see `refuseCredentials`. Default: false.
   */
  refuseCredentials?: boolean | undefined;
}

/**
 * A namespace of MutableStore with a plain surface. Every write is atomic. Change a value by `update`, `increment` or
 * `append`: a `get` followed by a `set` can lose the change of another caller.
 *
 * ```ts
 * const store = new DataStore(cortex, "default");
 * await store.set("greeting", "hello", { ttlSeconds: 3600 });
 * await store.update("visits", (n) => (n ?? 0) + 1);
 * ```
 */
export class DataStore {
  constructor(
    readonly cortex: Surface,
    readonly namespace: string,
    readonly options: DataStoreOptions = {},
  ) {}

  /** Reads a value; `fallback` if the key does not exist. A stored null is null. */
  async get<T = any>(key: string, fallback: T | null = null): Promise<T | null> {
    const value = await this.cortex.mutable.get<T>(this.namespace, key);
    if (value !== null || fallback === null) return value;
    return (await this.exists(key)) ? null : fallback;
  }

  /**
   * Stores a value. Metadata that is not given stays as it was.
   *
   * @throws CortexError INVALID_VALUE, VALUE_TOO_LARGE, INVALID_TTL, CREDENTIAL_REFUSED.
   */
  async set(
    key: string,
    value: unknown,
    options: {
      metadata?: Record<string, unknown> | undefined;
      ttlSeconds?: number | undefined;
    } = {},
  ): Promise<void> {
    this.#checked(key, value);
    this.#checked("", { metadata: options.metadata });
    await this.cortex.mutable.set(this.namespace, key, value, options);
  }

  /** Deletes a key. Gives whether it existed. */
  async delete(key: string): Promise<boolean> {
    return (await this.cortex.mutable.delete(this.namespace, key)).deleted;
  }

  exists(key: string): Promise<boolean> {
    return this.cortex.mutable.exists(this.namespace, key);
  }

  /** All keys, in bytewise order, however many; with a prefix those that begin with it. */
  async listKeys(prefix = ""): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.#scan(prefix)) keys.push(key);
    return keys;
  }

  /** All keys with their values; with a prefix those that begin with it. */
  async getAll<T = any>(prefix = ""): Promise<Record<string, T>> {
    const all: [string, T][] = [];
    for await (const { key, value } of this.#scan(prefix)) all.push([key, value]);
    return Object.fromEntries(all);
  }

  #scan(prefix: string) {
    return this.cortex.mutable.scan(this.namespace, prefix === "" ? {} : { keyPrefix: prefix });
  }

  /** The values in the order of the keys, however many; null for a key that does not exist. */
  async getMany<T = any>(keys: readonly string[]): Promise<(T | null)[]> {
    return readMany<T>(this.cortex, this.namespace, listed(keys, "keys"));
  }

  /** Stores up to 1000 keys, all of them or none. */
  async setMany(values: Readonly<Record<string, unknown>>): Promise<void> {
    for (const [key, value] of Object.entries(values)) this.#checked(key, value);
    await this.cortex.mutable.setMany(this.namespace, values);
  }

  /** The same store with another namespace. It is only a name: nothing is sent. */
  useNamespace(namespace: string): DataStore {
    return new DataStore(this.cortex, namespace, this.options);
  }

  /** The names of the namespaces that hold at least one key. */
  async listNamespaces(prefix = ""): Promise<string[]> {
    const found = await this.cortex.mutable.listNamespaces(prefix === "" ? {} : { prefix });
    return found.map(({ namespace }) => namespace);
  }

  /** Deletes all keys of the namespace. Gives how many there were. */
  async clear(): Promise<number> {
    return (await this.cortex.mutable.purgeNamespace(this.namespace)).deleted;
  }

  /**
   * Changes a value by a function, atomically: nothing is lost, however many change it at once. Gives the new value.
   * The function may run several times.
   *
   * @param change Gets the value, or `fallback` if the key does not exist or holds null.
   * @throws CortexError UPDATE_FAILED: the function threw, and its error is the `cause`.
   */
  async update<T = any>(
    key: string,
    change: (value: T) => T | Promise<T>,
    fallback: T | null = null,
  ): Promise<T> {
    if (typeof change !== "function") throw refused("INVALID_UPDATER", "change", "is no function");
    const start = fallback === null ? null : structuredClone(fallback);
    const changed = (current: T | null): T | Promise<T> => {
      const next = change((current ?? structuredClone(start)) as T);
      return isPromise(next)
        ? Promise.resolve(next).then((value) => this.#checked(key, value as T))
        : this.#checked(key, next);
    };
    const { value } = await unwrapErrors(
      () =>
        this.cortex.mutable.update<T>(this.namespace, key, changed as (value: T) => T, {
          createIfMissing: true,
        }),
      "CREDENTIAL_REFUSED",
    );
    return value;
  }

  /** Adds to a number, which begins at 0, in exact decimal arithmetic. Gives the new value. */
  async increment(key: string, amount: number | string | bigint = 1): Promise<number> {
    const options = { createIfMissing: true };
    return (await this.cortex.mutable.increment(this.namespace, key, amount, options)).value;
  }

  /** Appends to a list, which begins empty; with `maxLength` it keeps its last elements. Gives the list. */
  async append<T = any>(
    key: string,
    element: T,
    { maxLength }: { maxLength?: number | undefined } = {},
  ): Promise<T[]> {
    this.#checked(key, element);
    if (maxLength !== undefined)
      return appendBounded(this.cortex, this.namespace, key, element, { maxLength });
    const options = { createIfMissing: true };
    return (await this.cortex.mutable.append<T>(this.namespace, key, element, options)).value;
  }

  #checked<T>(key: string, value: T): T {
    if (this.options.refuseCredentials) refuseCredentials(value, key);
    return value;
  }
}
