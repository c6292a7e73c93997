// The interface of adapters of the package @igniter-js/store (0.1.26), declared here so that programs without the package
// can use our types.
import type { AdapterRange } from "../store/adapter.js";

/** An adapter as `@igniter-js/store` takes it. */
export interface IgniterStoreAdapter<Client = unknown> {
  readonly client: Client;
  get<T = any>(key: string): Promise<T | null>;
  set(key: string, value: any, options?: { ttl?: number }): Promise<void>;
  delete(key: string): Promise<void>;
  has(key: string): Promise<boolean>;
  increment(key: string, delta?: number): Promise<number>;
  expire(key: string, ttl: number): Promise<void>;
  setNX(key: string, value: any, options?: { ttl?: number }): Promise<boolean>;
  mget<T = any>(keys: string[]): Promise<(T | null)[]>;
  mset(entries: { key: string; value: any; ttl?: number }[]): Promise<void>;
  publish(channel: string, message: any): Promise<void>;
  subscribe(channel: string, callback: (message: any) => void | Promise<void>): Promise<void>;
  unsubscribe(channel: string, callback?: (message: any) => void | Promise<void>): Promise<void>;
  scan(
    pattern: string,
    options?: { cursor?: string; count?: number },
  ): Promise<{ keys: string[]; cursor: string }>;
  xadd(
    stream: string,
    message: any,
    options?: { maxLen?: number; approximate?: boolean },
  ): Promise<string>;
  xgroupCreate(stream: string, group: string, startId?: string): Promise<void>;
  xreadgroup<T = any>(
    stream: string,
    group: string,
    consumer: string,
    options?: { count?: number; blockMs?: number },
  ): Promise<{ id: string; message: T }[]>;
  xrange<T = any>(stream: string, options?: AdapterRange): Promise<{ id: string; message: T }[]>;
  xrevrange<T = any>(stream: string, options?: AdapterRange): Promise<{ id: string; message: T }[]>;
  xack(stream: string, group: string, ids: string[]): Promise<void>;
}
