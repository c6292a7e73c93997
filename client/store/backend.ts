// What a store needs of the place where it keeps its data: a server (`withClient`) or an adapter (`withAdapter`).
import type { ScopeStep } from "../core/call-options.js";
import type { EventContext } from "./event-types.js";

/** The options of what is stored. */
export interface KeepOptions {
  /** Seconds until it expires: above 0. Default: it does not expire. */
  ttl?: number | undefined;
  /** The user it belongs to; must exist. Not with an adapter. Default: none. */
  userId?: string | undefined;
}

/** An entry of `batch.set`. */
export interface BatchEntry extends KeepOptions {
  key: string;
  value: unknown;
}

/** The options of `dev.scan`. */
export interface ScanOptions {
  /** The cursor of the page before. Default: `"0"`, the beginning. */
  cursor?: string | undefined;
  /** About how many keys: 1 to 1000. Default: 10. */
  count?: number | undefined;
}

/** A page of keys. */
export interface ScanResult {
  keys: string[];
  /** The cursor of the next page; `"0"`: this is the last one. */
  cursor: string;
}

/** The options of `streams.append`. */
export interface StreamAppendOptions {
  /** How many entries the stream keeps: at least 1. Default: no limit. */
  maxLen?: number | undefined;
  /** True: it may keep a few more. A server keeps exactly as many. Default: false. */
  approximate?: boolean | undefined;
  /** The user it belongs to; must exist. Not with an adapter. Default: none. */
  userId?: string | undefined;
}

/** The options of `streams.range`. */
export interface StreamReadRange {
  /** The lowest id. Default: `"-"`, the first entry. */
  startId?: string | undefined;
  /** The highest id. Default: `"+"`, the last entry. */
  endId?: string | undefined;
  /** How many at most. Default: all. */
  count?: number | undefined;
  /** True to give the highest ids first. Default: false. */
  reverse?: boolean | undefined;
}

/** An entry of a stream. */
export interface StreamMessage<T = any> {
  id: string;
  message: T;
}

/** An entry that was delivered to a consumer. */
export interface DeliveredMessage<T = any> extends StreamMessage<T> {
  /** The number of the delivery: an acknowledgement that names it ends no other. undefined: of an adapter. */
  delivery?: string;
}

/** A consumer of a group of `streams.group`. */
export interface ConsumerGroup {
  /**
   * Creates the group, and the stream, if they do not exist. `startId` is the id after which it begins: `"0"`, the
   * default, at the first entry; `"$"` at what comes next.
   */
  ensure(stream: string, options?: { startId?: string | undefined }): Promise<void>;
  /**
   * Takes entries that no consumer of the group holds. They are this consumer's until they are acknowledged, or until
   * the visibility time of the group (60 s) is over. `count`: how many at most, by default 10. `blockMs`: how long it
   * waits for an entry; by default not at all.
   */
  read<T = any>(
    stream: string,
    options?: { count?: number | undefined; blockMs?: number | undefined },
  ): Promise<DeliveredMessage<T>[]>;
  /**
   * Acknowledges entries, by what `read` gave or by their ids. An id alone acknowledges whoever holds the entry. Gives
   * how many it has acknowledged.
   */
  ack(
    stream: string,
    messages: readonly (string | { readonly id: string; readonly delivery?: string })[],
  ): Promise<number>;
}

/** The operations of a store within one path. Names are those that the caller of the store gives. */
export interface Backend {
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown, options: KeepOptions): Promise<void>;
  exists(key: string): Promise<boolean>;
  /** Removes the value of the key and the claim of that name. True if there was one of them. */
  remove(key: string): Promise<boolean>;
  expire(space: "kv" | "counter", key: string, seconds: number): Promise<boolean>;
  increment(key: string, amount: number): Promise<number>;
  /** Stores a claim if there is none. */
  claim(key: string, value: unknown, options: KeepOptions): Promise<boolean>;
  /** Removes a claim if it has this value. */
  release(key: string, value: unknown): Promise<boolean>;
  getMany(keys: readonly string[]): Promise<unknown[]>;
  setMany(entries: readonly BatchEntry[]): Promise<void>;
  scan(pattern: string, options: ScanOptions): Promise<ScanResult>;
  publish(channel: string, data: unknown, userId: string | undefined): Promise<void>;
  subscribe(
    pattern: string,
    handler: (context: EventContext) => unknown,
    onError: (error: unknown) => void,
  ): Promise<() => Promise<void>>;
  append(stream: string, message: unknown, options: StreamAppendOptions): Promise<string>;
  range(stream: string, options: StreamReadRange): Promise<StreamMessage[]>;
  group(name: string, consumer: string): ConsumerGroup;
}

/** Opens the place of a service within a path, for the agent that writes there (undefined: as the client is). */
export type OpenBackend = (
  service: string,
  path: readonly ScopeStep[],
  agent: string | undefined,
) => Backend;
