// A store on a server: its names are namespaces, channels and streams within the scope of its path.
import { CortexError } from "../core/error.js";
import { isSameJson } from "../core/json.js";
import { scanKeys } from "../mutable/scan-keys.js";
import { Scope, type Surface } from "../scopes/scope.js";
import type {
  Backend,
  BatchEntry,
  KeepOptions,
  OpenBackend,
  ScanOptions,
  StreamAppendOptions,
  StreamReadRange,
} from "./backend.js";
import type { EventContext } from "./event-types.js";
import { placeName, type Space } from "./names.js";
import { rangeOf, startOf } from "./redis-ids.js";

export const onServer =
  (surface: Surface): OpenBackend =>
  (service, path, agent) => {
    let place = surface;
    for (const { key, identifier } of path) place = place.scope(key, identifier);
    if (agent !== undefined && place instanceof Scope) place = place.as(agent);
    return new ServerBackend(place, (space) => placeName(service, [], space));
  };

class ServerBackend implements Backend {
  readonly #surface: Surface;
  readonly #kv: string;
  readonly #counter: string;
  readonly #claim: string;
  readonly #events: string;
  readonly #streams: string;

  constructor(surface: Surface, place: (space: Space) => string) {
    this.#surface = surface;
    this.#kv = place("kv");
    this.#counter = place("counter");
    this.#claim = place("claim");
    this.#events = `${place("events")}:`;
    this.#streams = `${place("streams")}:`;
  }

  get(key: string) {
    return this.#surface.mutable.get(this.#kv, key);
  }

  async set(key: string, value: unknown, options: KeepOptions) {
    await this.#surface.mutable.set(this.#kv, key, value, kept(options));
  }

  exists(key: string) {
    return this.#surface.mutable.exists(this.#kv, key);
  }

  async remove(key: string) {
    const removed = await Promise.all(
      [this.#kv, this.#claim].map((namespace) => this.#surface.mutable.delete(namespace, key)),
    );
    return removed.some(({ deleted }) => deleted);
  }

  expire(space: "kv" | "counter", key: string, seconds: number) {
    const namespace = space === "kv" ? this.#kv : this.#counter;
    return this.#surface.mutable.expire(namespace, key, seconds);
  }

  async increment(key: string, amount: number) {
    const options = { createIfMissing: true };
    return (await this.#surface.mutable.increment(this.#counter, key, amount, options)).value;
  }

  claim(key: string, value: unknown, options: KeepOptions) {
    return this.#surface.mutable.once(this.#claim, key, value, kept(options));
  }

  async release(key: string, value: unknown) {
    const record = await this.#surface.mutable.getRecord(this.#claim, key);
    if (!record || !isSameJson(record.value, value)) return false;
    const { revision: ifRevision } = record;
    return this.#surface.mutable.delete(this.#claim, key, { ifRevision }).then(
      ({ deleted }) => deleted,
      (error) => {
        if (error instanceof CortexError && error.code === "REVISION_MISMATCH") return false;
        throw error;
      },
    );
  }

  getMany(keys: readonly string[]) {
    return this.#surface.mutable.getMany(this.#kv, keys);
  }

  async setMany(entries: readonly BatchEntry[]) {
    const list = entries.map(({ key, value, ...options }) => ({ key, value, ...kept(options) }));
    await this.#surface.mutable.setMany(this.#kv, list);
  }

  scan(pattern: string, options: ScanOptions) {
    return scanKeys(this.#surface.mutable, this.#kv, pattern, options);
  }

  async publish(channel: string, data: unknown, userId: string | undefined) {
    await this.#surface.events.publish(this.#events + channel, data, { userId });
  }

  async subscribe(
    pattern: string,
    handler: (context: EventContext) => unknown,
    onError: (error: unknown) => void,
  ) {
    const end = await this.#surface.events.subscribe(
      this.#events + pattern,
      (event) => handler({ ...event, type: event.type.slice(this.#events.length) }),
      { onError },
    );
    return async () => end();
  }

  append(stream: string, message: unknown, { maxLen, userId }: StreamAppendOptions) {
    const options = { maxLen, userId };
    return this.#surface.streams.append(this.#streams + stream, message, options);
  }

  async range(stream: string, options: StreamReadRange) {
    const entries = await rangeOf(this.#surface.streams, this.#streams + stream, options);
    return entries.map(({ id, data }) => ({ id, message: data }));
  }

  group(name: string, consumer: string) {
    const group = this.#surface.streams.group(name, consumer);
    const named = (stream: string) => this.#streams + stream;
    return {
      ensure: async (stream: string, { startId = "0" }: { startId?: string | undefined } = {}) => {
        await group.ensure(named(stream), { from: startOf(startId) });
      },
      read: async <T>(
        stream: string,
        options: { count?: number | undefined; blockMs?: number | undefined } = {},
      ) => {
        const entries = await group.read<T>(named(stream), options);
        return entries.map(({ id, data, delivery }) => ({ id, message: data, delivery }));
      },
      ack: (stream: string, messages: readonly (string | { id: string; delivery?: string })[]) =>
        group.ack(named(stream), messages),
    };
  }
}

const kept = ({ ttl, userId }: KeepOptions) => ({ ttlSeconds: ttl, userId });
