// The adapter: Redis' meaning of each call, on a client. One object has the methods of two interfaces: that of the package
// @igniter-js/store, and that of the specification. Where a name has two forms, the arguments tell which one is meant.
import { CortexError, refused } from "../core/error.js";
import { rejectUnknown, secondsOf } from "../core/validate.js";
import { scanKeys } from "../mutable/scan-keys.js";
import { Surface } from "../scopes/scope.js";
import type { StoreAdapter } from "../store/adapter.js";
import { channelOf } from "./channels.js";
import { jsonCopy } from "./json-copy.js";
import type { IgniterStoreAdapter } from "./package-adapter.js";
import { AdapterStreams } from "./streams.js";
import { Subscriptions } from "./subscriptions.js";

/** The adapter: of both interfaces. */
export type CortexStoreAdapter<Client extends Surface = Surface> = Required<StoreAdapter<Client>> &
  IgniterStoreAdapter<Client>;

/** The options of `cortexStoreAdapter`. */
export interface CortexStoreAdapterOptions {
  /** The namespace of all keys. Default: `igniter`. */
  namespace?: string | undefined;
  /**
   * How long a consumer may hold an entry of a stream, in seconds, before it goes to another one: 5 to 604 800 (a week).
   * It is that of groups which `xgroupCreate` creates. Default: 60.
   */
  visibilitySeconds?: number | undefined;
}

/**
 * An adapter for `@igniter-js/store`, and for `withAdapter` of `CortexStore`: calls mean what they mean on Redis.
 * - `ttl` 0 is none. A `set` without `ttl` ends an earlier one. `expire` with 0 or less removes the key.
 * - Values are copied by way of JSON, as JSON.stringify writes them; circles and bigints are INVALID_VALUE.
 * - `mset` and `mget` of more than 1000 keys, or of more than 4 MiB, are several calls.
 * - Beyond Redis: `*` and `**` in a channel are wildcards; an entry that a consumer does not acknowledge within the
 *   visibility time goes to the next one that reads.
 * - `publish` gives the number of subscriptions that are known to the server process that answers.
 *
 * @param client A `Cortex`, or a scope of one.
 * @throws CortexError INVALID_CONFIG.
 *
 * ```ts
 * import { cortexStoreAdapter } from "cortex-store/igniter";
 * const store = IgniterStore.create().withAdapter(cortexStoreAdapter(cortex)).withService("api").build();
 * ```
 */
export function cortexStoreAdapter<Client extends Surface>(
  client: Client,
  options: CortexStoreAdapterOptions = {},
): CortexStoreAdapter<Client> {
  if (!(client instanceof Surface))
    throw invalid("client", "is neither a Cortex nor a scope of one");
  rejectUnknown(
    options,
    ["namespace", "visibilitySeconds"],
    "INVALID_CONFIG",
    "cortexStoreAdapter",
  );
  const { namespace = "igniter", visibilitySeconds = 60 } = options;
  if (
    !(typeof visibilitySeconds === "number" && visibilitySeconds >= 5) ||
    visibilitySeconds > weekSeconds
  )
    throw invalid("visibilitySeconds", `is not a number from 5 to ${weekSeconds}`);
  if (typeof namespace !== "string" || namespace.trim() === "")
    throw invalid("namespace", "is not a text, or blank");
  return new Adapter(client, namespace, visibilitySeconds) as unknown as CortexStoreAdapter<Client>;
}

const weekSeconds = 604_800;

interface Ttl {
  ttl?: number | null | undefined;
}

class Adapter {
  readonly #subscriptions: Subscriptions;
  readonly #streams: AdapterStreams;

  constructor(
    readonly client: Surface,
    readonly namespace: string,
    visibilitySeconds: number,
  ) {
    this.#subscriptions = new Subscriptions(client.events);
    this.#streams = new AdapterStreams(client.streams, visibilitySeconds);
  }

  async get(key: string): Promise<unknown> {
    return this.client.mutable.get(this.namespace, key);
  }

  async set(key: string, value: unknown, options?: Ttl): Promise<void> {
    await this.client.mutable.set(this.namespace, key, jsonCopy(value), lasting(options));
  }

  async setNX(key: string, value: unknown, options?: Ttl): Promise<boolean> {
    return this.client.mutable.once(this.namespace, key, jsonCopy(value), lasting(options));
  }

  async remove(key: string): Promise<boolean> {
    return (await this.client.mutable.delete(this.namespace, key)).deleted;
  }

  async delete(key: string): Promise<void> {
    await this.remove(key);
  }

  async exists(key: string): Promise<boolean> {
    return this.client.mutable.exists(this.namespace, key);
  }

  async has(key: string): Promise<boolean> {
    return this.exists(key);
  }

  async expire(key: string, seconds: number): Promise<boolean> {
    if (secondsOf(seconds, "seconds") <= 0) return this.remove(key);
    return this.client.mutable.expire(this.namespace, key, seconds);
  }

  async incrby(key: string, amount: number): Promise<number> {
    const options = { createIfMissing: true };
    const { value } = await this.client.mutable.increment(this.namespace, key, amount, options);
    return Number(value);
  }

  async increment(key: string, delta = 1): Promise<number> {
    return this.incrby(key, delta);
  }

  async mget(keys: readonly string[]): Promise<unknown[]> {
    return (
      await inParts(keys, (part) => this.client.mutable.getMany(this.namespace, part))
    ).flat();
  }

  async mset(entries: readonly ({ key: string; value: unknown } & Ttl)[]): Promise<void> {
    // Of entries with the same key the last one stays.
    const list = [
      ...new Map(
        entries.map(({ key, value, ttl }) => [
          key,
          { key, value: jsonCopy(value), ...lasting({ ttl }) },
        ]),
      ).values(),
    ];
    await inParts(list, (part) => this.client.mutable.setMany(this.namespace, part));
  }

  async publish(channel: string, message: unknown): Promise<number> {
    return this.client.events.publish(channelOf(channel), jsonCopy(message, "message"));
  }

  async subscribe(channel: string, callback: (message: any) => unknown): Promise<void> {
    return this.#subscriptions.add(channel, callback);
  }

  async unsubscribe(channel: string, callback?: (message: any) => unknown): Promise<void> {
    return this.#subscriptions.remove(channel, callback);
  }

  /** `(pattern, { cursor, count })`, or `(cursor, { match, count })`. */
  scan(first: string, options: { cursor?: string; match?: string; count?: number } = {}) {
    const { cursor, match, count } = options;
    const isByMatch = match !== undefined;
    return scanKeys(this.client.mutable, this.namespace, isByMatch ? match : first, {
      cursor: isByMatch ? first : cursor,
      // It is a hint on Redis.
      ...(count !== undefined && { count: Math.min(Math.max(Math.trunc(count), 1), partMax) }),
    });
  }

  async xadd(stream: string, second: unknown, third?: unknown, fourth?: unknown): Promise<string> {
    return this.#streams.xadd(stream, second, third, fourth);
  }

  async xgroupCreate(stream: string, group: string, startId?: string): Promise<void> {
    return this.#streams.xgroupCreate(stream, group, startId);
  }

  xreadgroup(...args: Parameters<AdapterStreams["xreadgroup"]>) {
    return this.#streams.xreadgroup(...args);
  }

  xrange(...args: Parameters<AdapterStreams["xrange"]>) {
    return this.#streams.xrange(...args);
  }

  xrevrange(stream: string, options: Parameters<AdapterStreams["xrange"]>[1] = {}) {
    return this.#streams.xrange(stream, { ...options, reverse: true });
  }

  xack(stream: string, group: string, ids: readonly string[]): Promise<number> {
    return this.#streams.xack(stream, group, ids);
  }
}

/** Without a ttl, and with 0, it does not expire. */
const lasting = (options: Ttl | undefined) => ({ ttlSeconds: options?.ttl || undefined });

const partMax = 1000;

/** Calls with parts of the list that the server takes, and gives the answers in order. */
async function inParts<T, R>(
  list: readonly T[],
  call: (part: readonly T[]) => Promise<R>,
): Promise<R[]> {
  if (list.length === 0) return [];
  const halves = async () => {
    const half = Math.min(partMax, Math.ceil(list.length / 2));
    return [
      ...(await inParts(list.slice(0, half), call)),
      ...(await inParts(list.slice(half), call)),
    ];
  };
  if (list.length > partMax) return halves();
  try {
    return [await call(list)];
  } catch (error) {
    const isTooLarge =
      error instanceof CortexError && ["REPLY_TOO_LARGE", "MESSAGE_TOO_LARGE"].includes(error.code);
    if (!isTooLarge || list.length === 1) throw error;
    return halves();
  }
}

const invalid = (field: string, problem: string) => refused("INVALID_CONFIG", field, problem);
