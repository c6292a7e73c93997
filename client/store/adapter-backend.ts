// A store in an adapter: its names are full names, which hold the service and the path.
import { CortexError, refused } from "../core/error.js";
import { quoted } from "../core/glob.js";
import { isSameJson, toJson } from "../core/json.js";
import type { StoreAdapter } from "./adapter.js";
import type {
  Backend,
  BatchEntry,
  ConsumerGroup,
  KeepOptions,
  OpenBackend,
  ScanOptions,
  StreamAppendOptions,
  StreamReadRange,
} from "./backend.js";
import type { EventContext } from "./event-types.js";
import { fullName, type Space } from "./names.js";

const waitingMax = 10_000;

export const inAdapter =
  (adapter: StoreAdapter): OpenBackend =>
  (service, path) =>
    new AdapterBackend(adapter, (space, key) => fullName(service, path, space, key), path.at(-1));

class AdapterBackend implements Backend {
  constructor(
    readonly adapter: StoreAdapter,
    readonly name: (space: Space, key: string) => string,
    readonly scope: EventContext["scope"],
  ) {}

  get(key: string) {
    return this.adapter.get(this.name("kv", key));
  }

  async set(key: string, value: unknown, options: KeepOptions) {
    toJson(value); // an adapter may keep what is no JSON, or fail in a way of its own
    await this.adapter.set(this.name("kv", key), value, kept(options));
  }

  exists(key: string) {
    return this.adapter.exists(this.name("kv", key));
  }

  async remove(key: string) {
    const hadValue = await this.adapter.remove(this.name("kv", key));
    const hadClaim = await this.adapter.remove(this.name("claim", key));
    return hadValue || hadClaim;
  }

  expire(space: "kv" | "counter", key: string, seconds: number) {
    return this.adapter.expire(this.name(space, key), seconds);
  }

  increment(key: string, amount: number) {
    return this.adapter.incrby(this.name("counter", key), amount);
  }

  async claim(key: string, value: unknown, options: KeepOptions) {
    const adapter = this.#having("setNX");
    toJson(value);
    return adapter.setNX(this.name("claim", key), value, kept(options));
  }

  /** Reads the claim and then removes it: who takes it in between loses it. An adapter has no way to do both at once. */
  async release(key: string, value: unknown) {
    const name = this.name("claim", key);
    const found = await this.adapter.get(name);
    if (!isSameJson(found ?? null, value)) return false;
    return this.adapter.remove(name);
  }

  getMany(keys: readonly string[]) {
    return this.adapter.mget(keys.map((key) => this.name("kv", key)));
  }

  async setMany(entries: readonly BatchEntry[]) {
    for (const [i, { value }] of entries.entries()) toJson(value, `entries[${i}].value`);
    await this.adapter.mset(
      entries.map(({ key, value, ...options }) => ({
        key: this.name("kv", key),
        value,
        ...kept(options),
      })),
    );
  }

  async scan(pattern: string, { cursor = "0", count = 10 }: ScanOptions) {
    const prefix = this.name("kv", "");
    const page = await this.adapter.scan(cursor, { match: quoted(prefix) + pattern, count });
    return { cursor: page.cursor, keys: page.keys.map((key) => key.slice(prefix.length)) };
  }

  async publish(channel: string, data: unknown, userId: string | undefined) {
    refuseUser(userId);
    const context: EventContext = {
      type: channel,
      data,
      timestamp: new Date().toISOString(),
      ...(this.scope && { scope: this.scope }),
    };
    await this.adapter.publish(this.name("events", channel), toJson(context));
  }

  async subscribe(
    pattern: string,
    handler: (context: EventContext) => unknown,
    onError: (error: unknown) => void,
  ) {
    const channel = this.name("events", pattern);
    let last: Promise<unknown> = Promise.resolve();
    let waiting = 0;
    let hasEnded = false;
    const callback = (message: string) => {
      if (hasEnded) return;
      if (waiting === waitingMax) {
        onError(new CortexError("EVENTS_MISSED", `more than ${waitingMax} events wait`));
        return;
      }
      waiting++;
      last = last
        .then(() => hasEnded || handler(JSON.parse(message)))
        .catch(onError)
        .finally(() => waiting--);
    };
    await this.adapter.subscribe(channel, callback);
    return () => {
      hasEnded = true;
      return this.adapter.unsubscribe(channel, callback);
    };
  }

  async append(stream: string, message: unknown, options: StreamAppendOptions) {
    const { maxLen, approximate, userId } = options;
    refuseUser(userId);
    const adapter = this.#having("xadd");
    const fields = { data: toJson(message, "message") };
    return adapter.xadd(this.name("streams", stream), "*", fields, {
      ...(maxLen !== undefined && { maxLen }),
      ...(approximate !== undefined && { approximate }),
    });
  }

  async range(stream: string, { startId, endId, count, reverse = false }: StreamReadRange) {
    const name = this.name("streams", stream);
    const options = {
      ...(startId !== undefined && { startId }),
      ...(endId !== undefined && { endId }),
      ...(count !== undefined && { count }),
    };
    if (reverse) return this.#having("xrevrange").xrevrange(name, options);
    return this.#having("xrange").xrange(name, options);
  }

  group(group: string, consumer: string): ConsumerGroup {
    const named = (stream: string) => this.name("streams", stream);
    return {
      ensure: async (stream, { startId = "0" } = {}) => {
        const options = { mkstream: true };
        await this.#having("xgroupCreate").xgroupCreate(named(stream), group, startId, options);
      },
      read: async (stream, { count, blockMs } = {}) => {
        const streams = [{ key: named(stream), id: ">" }];
        const read = await this.#having("xreadgroup").xreadgroup(group, consumer, streams, {
          ...(count !== undefined && { count }),
          ...(blockMs !== undefined && { blockMs }),
        });
        return read.flatMap(({ messages }) =>
          messages.map(({ id, fields }) => ({ id, message: messageOf(fields) })),
        );
      },
      ack: async (stream, messages) => {
        const ids = messages.map((one) => (typeof one === "string" ? one : one.id));
        return ids.length === 0 ? 0 : this.#having("xack").xack(named(stream), group, ids);
      },
    };
  }

  #having<Method extends keyof StoreAdapter>(method: Method) {
    if (typeof this.adapter[method] === "function")
      return this.adapter as StoreAdapter & Required<Pick<StoreAdapter, Method>>;
    throw refused("INVALID_CONFIG", "adapter", `has no ${method}`);
  }
}

function kept({ ttl, userId }: KeepOptions): { ttl?: number } {
  refuseUser(userId);
  return ttl === undefined ? {} : { ttl };
}

function refuseUser(userId: string | undefined): void {
  if (userId !== undefined)
    throw refused("INVALID_OPTIONS", "userId", "is not possible: an adapter has no users");
}

/** What `append` wrote, in the field `data`; other fields as they are. */
function messageOf(fields: Record<string, string>): any {
  const { data } = fields;
  if (data === undefined) return fields;
  try {
    return JSON.parse(data);
  } catch (error) {
    const problem = "is no JSON";
    const details = { field: "data", problem };
    throw new CortexError("INVALID_VALUE", `the field data ${problem}`, details, { cause: error });
  }
}
