// The adapters of the specification: what a store can be kept in besides a Cortex Store server.

/** Fields of an entry of a stream, as Redis has them. */
export type StreamFields = Record<string, string>;

/** Entries of a stream as `xreadgroup` gives them. */
export interface StreamEntries {
  key: string;
  messages: { id: string; fields: StreamFields }[];
}

/**
 * An adapter as the specification prints it, for `withAdapter`. Streams are optional there; so are `setNX`, without
 * which there are no claims, and `xrange` and `xrevrange`, without which there are no ranges.
 */
export interface StoreAdapter<Client = unknown> {
  /** The client of what is behind it. */
  readonly client: Client;
  get<T = any>(key: string): Promise<T | null>;
  /** Stores a value. `ttl`: seconds until it expires; without it, it does not expire. */
  set(key: string, value: unknown, options?: { ttl?: number }): Promise<void>;
  remove(key: string): Promise<boolean>;
  exists(key: string): Promise<boolean>;
  expire(key: string, seconds: number): Promise<boolean>;
  mget<T = any>(keys: string[]): Promise<(T | null)[]>;
  mset(entries: { key: string; value: unknown; ttl?: number }[]): Promise<void>;
  incrby(key: string, increment: number): Promise<number>;
  /** Stores a value if there is none. True if it did. */
  setNX?(key: string, value: unknown, options?: { ttl?: number }): Promise<boolean>;
  /** Gives the number of receivers. */
  publish(channel: string, message: string): Promise<number>;
  subscribe(channel: string, callback: (message: string) => void): Promise<void>;
  unsubscribe(channel: string, callback?: (message: string) => void): Promise<void>;
  /** `"0"` is the first cursor, and the one that says that there is no more. */
  scan(
    cursor: string,
    options: { match: string; count?: number },
  ): Promise<{ cursor: string; keys: string[] }>;
  /** `id`: `"*"` for the next one. */
  xadd?(
    key: string,
    id: string,
    fields: StreamFields,
    options?: { maxLen?: number; approximate?: boolean },
  ): Promise<string>;
  xgroupCreate?(
    key: string,
    groupName: string,
    id: string,
    options?: { mkstream?: boolean },
  ): Promise<void>;
  /** The id `">"` asks for new entries. Any other id gives the entries after it that this consumer already holds. */
  xreadgroup?(
    groupName: string,
    consumer: string,
    streams: { key: string; id: string }[],
    options?: { count?: number; blockMs?: number },
  ): Promise<StreamEntries[]>;
  /** Gives how many it has acknowledged. */
  xack?(key: string, groupName: string, ids: string[]): Promise<number>;
  xrange?<T = any>(key: string, options?: AdapterRange): Promise<{ id: string; message: T }[]>;
  xrevrange?<T = any>(key: string, options?: AdapterRange): Promise<{ id: string; message: T }[]>;
}

/** A range of a stream. Without `count`: all of it. */
export interface AdapterRange {
  startId?: string;
  endId?: string;
  count?: number;
}
