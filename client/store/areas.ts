// What a store has besides events: kv, counter, claim, batch, streams, dev.
import { refused } from "../core/error.js";
import { keyText, listed, rejectUnknown, secondsOf, text, whole } from "../core/validate.js";
import type {
  Backend,
  BatchEntry,
  ConsumerGroup,
  KeepOptions,
  ScanOptions,
  ScanResult,
  StreamAppendOptions,
  StreamMessage,
  StreamReadRange,
} from "./backend.js";
import type { Operations } from "./telemetry.js";

/** A part of a store: where it keeps its data, and what runs its operations. */
abstract class Area {
  constructor(
    protected readonly backend: Backend,
    protected readonly operations: Operations,
  ) {}
}

/** Binds the methods, so that they can be taken out of their object. */
export function bound<Part extends object>(part: Part): Part {
  const methods = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(part));
  for (const [name, { value }] of Object.entries(methods))
    if (typeof value === "function" && name !== "constructor")
      Object.defineProperty(part, name, { value: value.bind(part) });
  return part;
}

/** Values by key. Keys have 1 to 1024 bytes of UTF-8. */
export class KeyValues extends Area {
  /** Reads a value; null if there is none. */
  async get<T = any>(key: string): Promise<T | null> {
    return this.operations.run(
      "kv.get",
      inKv,
      () => this.backend.get(checkKey(key)) as Promise<T | null>,
      (value) => ({ "ctx.kv.found": value !== null }),
    );
  }

  /**
   * Stores a value. Without `ttl` it does not expire, and an earlier `ttl` ends.
   *
   * @param value Any JSON value.
   * @throws INVALID_KEY, INVALID_VALUE, INVALID_TTL, VALUE_TOO_LARGE, USER_NOT_FOUND.
   */
  async set(key: string, value: unknown, options: KeepOptions = {}): Promise<void> {
    return this.operations.run("kv.set", { ...inKv, ...ttlOf("kv", options?.ttl) }, () =>
      this.backend.set(checkKey(key), value, checkKeep(options, "set")),
    );
  }

  async exists(key: string): Promise<boolean> {
    return this.operations.run(
      "kv.exists",
      inKv,
      () => this.backend.exists(checkKey(key)),
      (existed) => ({ "ctx.kv.existed": existed }),
    );
  }

  /** Removes a value, and the claim of that name. True if there was one of them. */
  async remove(key: string): Promise<boolean> {
    return this.operations.run("kv.remove", inKv, () => this.backend.remove(checkKey(key)));
  }

  /** Sets when a value expires: `ttl` seconds from now on. False if there is none. Throws INVALID_TTL. */
  async expire(key: string, ttl: number): Promise<boolean> {
    return this.operations.run("kv.expire", { ...inKv, ...ttlOf("kv", ttl) }, () =>
      this.backend.expire("kv", checkKey(key), checkTtl(ttl)),
    );
  }

  /** The same as `expire`. */
  async touch(key: string, ttl: number): Promise<boolean> {
    return this.operations.run("kv.touch", { ...inKv, ...ttlOf("kv", ttl) }, () =>
      this.backend.expire("kv", checkKey(key), checkTtl(ttl)),
    );
  }
}

/** Numbers by key. A counter that is missing begins at 0. */
export class Counters extends Area {
  /** Adds to a counter, and gives what it is then: beyond 2^53 a bigint. Throws INVALID_AMOUNT, VALUE_NOT_NUMERIC. */
  async increment(key: string, amount = 1): Promise<number> {
    return this.#add("counter.increment", key, amount, 1);
  }

  /** Subtracts from a counter, and gives what it is then. */
  async decrement(key: string, amount = 1): Promise<number> {
    return this.#add("counter.decrement", key, amount, -1);
  }

  async #add(operation: string, key: string, amount: number, sign: 1 | -1): Promise<number> {
    const isNumber = typeof amount === "number" && Number.isFinite(amount);
    const attributes = isNumber ? { ...inCounter, "ctx.counter.delta": sign * amount } : inCounter;
    return this.operations.run(operation, attributes, () => {
      if (isNumber) return this.backend.increment(checkKey(key), sign * amount);
      throw refused("INVALID_AMOUNT", "amount", `is not a number: ${String(amount)}`);
    });
  }

  /** Sets when a counter expires: `ttl` seconds from now on. False if there is none. Throws INVALID_TTL. */
  async expire(key: string, ttl: number): Promise<boolean> {
    const attributes = { ...inCounter, ...ttlOf("counter", ttl) };
    return this.operations.run("counter.expire", attributes, () =>
      this.backend.expire("counter", checkKey(key), checkTtl(ttl)),
    );
  }
}

/** Claims: a key that the first caller gets. For claims with fences, waiting and renewal, see `cortex.claims`. */
export class StoreClaims extends Area {
  /**
   * Acquires a claim, if nobody has it. It ends after `ttl` seconds, if one is given, and when it is released, or removed
   * by `kv.remove`.
   *
   * @param value Names the holder: `release` asks for it again. Any JSON value that no other caller uses.
   * @returns True if it was acquired.
   */
  async once(key: string, value: unknown, options: KeepOptions = {}): Promise<boolean> {
    return this.operations.run(
      "claim.acquire",
      inClaim,
      () => this.backend.claim(checkKey(key), value, checkKeep(options, "once")),
      (acquired) => ({ "ctx.claim.acquired": acquired }),
    );
  }

  /** Releases a claim, if it still has this value. False if it does not: its time was over, or others have it. */
  async release(key: string, value: unknown): Promise<boolean> {
    return this.operations.run(
      "claim.release",
      inClaim,
      () => this.backend.release(checkKey(key), value),
      (released) => ({ "ctx.claim.released": released }),
    );
  }
}

/** Several values at once. */
export class Batches extends Area {
  /** Reads up to 1000 values, in the order of the keys; null for a key without a value. Throws INVALID_BATCH. */
  async get<T = any>(keys: readonly string[]): Promise<(T | null)[]> {
    return this.operations.run(
      "batch.get",
      { ...inKv, ...countOf("ctx.batch.count", keys) },
      async () => {
        const checked = checkBatch(keys, "keys").map((key, i) => checkKey(key, `keys[${i}]`));
        return checked.length === 0 ? [] : ((await this.backend.getMany(checked)) as (T | null)[]);
      },
      (values) => ({ "ctx.batch.found": values.filter((value) => value !== null).length }),
    );
  }

  /** Stores up to 1000 values, each key once: all of them or none. Throws INVALID_BATCH, and as `kv.set`. */
  async set(entries: readonly BatchEntry[]): Promise<void> {
    const attributes = { ...inKv, ...countOf("ctx.batch.count", entries) };
    return this.operations.run("batch.set", attributes, async () => {
      const keys = new Set<string>();
      for (const [i, entry] of checkBatch(entries, "entries").entries()) {
        const at = `entries[${i}]`;
        const { key, value: _, ...options } = rejectUnknown(entry, entryNames, "INVALID_BATCH", at);
        if (keys.has(checkKey(key, `${at}.key`)))
          throw refused("INVALID_BATCH", `${at}.key`, "is that of an entry before");
        keys.add(key);
        checkKeep(options, at);
      }
      if (entries.length > 0) await this.backend.setMany(entries);
    });
  }
}

/** Tools for development. */
export class DevTools extends Area {
  /**
   * Finds keys of `kv` by a pattern: `*` any text, `?` one character, `[ab]`, `[^a]`, `[a-z]`, `\*` the character itself.
   * A page may have fewer keys than `count`, or none, although there are more: go on until the cursor is `"0"`.
   *
   * @throws INVALID_FILTER, INVALID_LIMIT, INVALID_PAGE_TOKEN.
   */
  async scan(pattern: string, options: ScanOptions = {}): Promise<ScanResult> {
    return this.operations.run("dev.scan", inKv, () => {
      rejectUnknown(options, ["cursor", "count"], "INVALID_OPTIONS", "scan");
      if (text(pattern, "pattern", "INVALID_FILTER") === "")
        throw refused("INVALID_FILTER", "pattern", "is empty");
      if (options.count !== undefined) checkCount(options.count);
      return this.backend.scan(pattern, options);
    });
  }
}

/** Streams: logs of entries, which groups of consumers share. For more, see `cortex.streams`. */
export class StoreStreams extends Area {
  /** Appends an entry, and gives its id. Throws INVALID_STREAM, INVALID_VALUE, INVALID_LIMIT. */
  async append(
    stream: string,
    message: unknown,
    options: StreamAppendOptions = {},
  ): Promise<string> {
    return this.operations.run("stream.append", { ...inStreams, "ctx.stream.count": 1 }, () => {
      rejectUnknown(options, ["maxLen", "approximate", "userId"], "INVALID_OPTIONS", "append");
      return this.backend.append(streamName(stream), message, options);
    });
  }

  /** Gives the entries of a range: without `count` all of them. */
  async range<T = any>(stream: string, options: StreamReadRange = {}): Promise<StreamMessage<T>[]> {
    const range = () => {
      rejectUnknown(options, ["startId", "endId", "count", "reverse"], "INVALID_OPTIONS", "range");
      return this.backend.range(streamName(stream), options);
    };
    return this.operations.run("stream.range", inStreams, range, counted);
  }

  /** A consumer of a group. */
  group(name: string, consumer: string): ConsumerGroup {
    const { operations } = this;
    const group = this.backend.group(streamName(name, "group"), streamName(consumer, "consumer"));
    return {
      ensure: (stream, options = {}) =>
        operations.run("stream.group", inStreams, () => {
          rejectUnknown(options, ["startId"], "INVALID_OPTIONS", "ensure");
          return group.ensure(streamName(stream), options);
        }),
      read: (stream, options = {}) => {
        const read = () => {
          rejectUnknown(options, ["count", "blockMs"], "INVALID_OPTIONS", "read");
          const { count = 10, ...rest } = options;
          return group.read(streamName(stream), { count: checkCount(count), ...rest });
        };
        return operations.run("stream.read", inStreams, read, counted);
      },
      ack: (stream, messages) => {
        const ack = () => group.ack(streamName(stream), listed(messages, "messages"));
        const told = (count: number) => ({ "ctx.stream.count": count });
        return operations.run("stream.ack", inStreams, ack, told);
      },
    };
  }
}

const batchMax = 1000;
const entryNames = ["key", "value", "ttl", "userId"];
const inKv = { "ctx.store.namespace": "kv" };
const inCounter = { "ctx.store.namespace": "counter" };
const inClaim = { "ctx.store.namespace": "claim" };
const inStreams = { "ctx.store.namespace": "streams" };
const counted = (messages: readonly unknown[]) => ({ "ctx.stream.count": messages.length });

function checkKey(key: string, field = "key"): string {
  if (keyText(key, field) === "") throw refused("INVALID_KEY", field, "is empty");
  return key;
}

function streamName(name: string, field = "stream"): string {
  if (text(name, field, "INVALID_STREAM") === "")
    throw refused("INVALID_STREAM", field, "is empty");
  return name;
}

function checkBatch<T>(list: readonly T[], field: string): readonly T[] {
  if (listed(list, field).length <= batchMax) return list;
  throw refused("INVALID_BATCH", field, `are more than ${batchMax}: ${list.length}`);
}

/** The length of a list as an attribute. */
const countOf = (name: string, list: readonly unknown[]) =>
  Array.isArray(list) ? { [name]: list.length } : {};

/** A ttl as an attribute. */
const ttlOf = (area: "kv" | "counter", ttl: unknown) =>
  typeof ttl === "number" ? { [`ctx.${area}.ttl`]: ttl } : {};

function checkCount(count: number): number {
  if (whole(count, "count", "INVALID_LIMIT") >= 1 && count <= 1000) return count;
  throw refused("INVALID_LIMIT", "count", `is not within 1 to 1000: ${count}`);
}

function checkTtl(ttl: number): number {
  if (secondsOf(ttl, "ttl") > 0) return ttl;
  throw refused("INVALID_TTL", "ttl", `is not above 0: ${ttl}`);
}

function checkKeep(options: KeepOptions, what: string): KeepOptions {
  rejectUnknown(options, ["ttl", "userId"], "INVALID_OPTIONS", what);
  if (options.ttl !== undefined) checkTtl(options.ttl);
  return options;
}
