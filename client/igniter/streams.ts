// Streams as the adapter has them: the calls of Redis, in the two forms of the two interfaces.
import type { StreamEntries, StreamFields } from "../store/adapter.js";
import type { StreamReadRange } from "../store/backend.js";
import { rangeOf, startOf } from "../store/redis-ids.js";
import type { StreamGroup } from "../streams/group.js";
import type { Streams } from "../streams/streams.js";
import { jsonCopy } from "./json-copy.js";

const countMax = 1000;
const blockMsMax = 3_600_000;

interface ReadOptions {
  count?: number;
  blockMs?: number;
}

/** What an entry holds: a message of the package, or fields. Anything else was appended by others. */
type Stored = { message: unknown } | { fields: StreamFields };

export class AdapterStreams {
  constructor(
    readonly streams: Streams,
    readonly visibilitySeconds: number,
  ) {}

  /** `(stream, message, options)`, or `(key, id, fields, options)`. */
  xadd(stream: string, second: unknown, third?: unknown, fourth?: unknown): Promise<string> {
    const isFields = isId(second) && areFields(third);
    const data: Stored = isFields
      ? { fields: { ...third } }
      : { message: jsonCopy(second, "message") };
    const { maxLen } = ((isFields ? fourth : third) ?? {}) as { maxLen?: number };
    const id = isFields && second !== "*" ? second : undefined;
    return this.streams.append(stream, data, { id, maxLen });
  }

  async xgroupCreate(stream: string, group: string, startId = "0"): Promise<void> {
    const { visibilitySeconds } = this;
    const from = startOf(startId);
    // A group is there for any consumer: the name of this one is not used.
    await this.streams.group(group, "-").ensure(stream, { from, visibilitySeconds });
  }

  /** `(stream, group, consumer, options)`, or `(group, consumer, streams, options)`. */
  async xreadgroup(
    first: string,
    second: string,
    third: string | { key: string; id: string }[],
    options: ReadOptions = {},
  ): Promise<{ id: string; message: unknown }[] | StreamEntries[]> {
    if (!Array.isArray(third)) {
      const read = await this.#read(this.streams.group(second, third), first, options);
      return read.map(({ id, data }) => ({ id, message: messageOf(data) }));
    }
    const group = this.streams.group(first, second);
    const found = await this.#readAll(group, third, options);
    return found.filter(({ messages }) => messages.length > 0);
  }

  async xrange(stream: string, options: StreamReadRange = {}) {
    const entries = await rangeOf(this.streams, stream, options);
    return entries.map(({ id, data }) => ({ id, message: messageOf(data) }));
  }

  /** By ids alone: it acknowledges entries whoever holds them, as Redis does. */
  async xack(stream: string, group: string, ids: readonly string[]): Promise<number> {
    let acknowledged = 0;
    for (let at = 0; at < ids.length; at += countMax)
      acknowledged += await this.streams
        .group(group, "-")
        .ack(stream, ids.slice(at, at + countMax).map(String));
    return acknowledged;
  }

  #read(
    group: StreamGroup,
    stream: string,
    { count = 0, blockMs = 0 }: ReadOptions,
    signal?: AbortSignal,
  ) {
    return group.read(stream, {
      count: count > 0 ? Math.min(count, countMax) : countMax,
      blockMs: Math.min(Math.max(blockMs, 0), blockMsMax),
      signal,
    });
  }

  /** Reads several streams. If none has anything, waits for the first that has. */
  async #readAll(
    group: StreamGroup,
    streams: readonly { key: string; id: string }[],
    options: ReadOptions,
  ): Promise<StreamEntries[]> {
    const atOnce = await Promise.all(
      streams.map(async ({ key, id }) => ({
        key,
        messages:
          id === ">"
            ? (await this.#read(group, key, { ...options, blockMs: 0 })).map(inFields)
            : await this.#held(group, key, id, options.count),
      })),
    );
    const waiting = streams.filter(({ id }) => id === ">");
    const isFound = atOnce.some(({ messages }) => messages.length > 0);
    if (isFound || waiting.length === 0 || !((options.blockMs ?? 0) > 0)) return atOnce;
    const first = new AbortController();
    const reads = waiting.map(async ({ key }) => {
      const entries = await this.#read(group, key, options, first.signal).catch((error) => {
        if (first.signal.aborted) return [];
        throw error;
      });
      if (entries.length > 0) first.abort();
      return { key, messages: entries.map(inFields) };
    });
    return Promise.all(reads).finally(() => first.abort());
  }

  /** What the consumer holds after an id. */
  async #held(group: StreamGroup, stream: string, after: string, count = countMax) {
    const messages: StreamEntries["messages"] = [];
    let pageToken: string | undefined;
    do {
      const { consumer } = group;
      const page = await group.pending(stream, { consumer, limit: countMax, pageToken });
      for (const entry of page.entries)
        if (entry.visibleAt && compareIds(entry.id, after) > 0) messages.push(inFields(entry));
      pageToken = page.nextPageToken;
    } while (pageToken !== undefined && messages.length < count);
    return messages.slice(0, count);
  }
}

const isId = (value: unknown): value is string =>
  typeof value === "string" && /^(\*|\d+(-(\d+|\*))?)$/.test(value);

const areFields = (value: unknown): value is StreamFields =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).length > 0 &&
  Object.values(value).every((field) => typeof field === "string");

const isStored = (data: unknown): data is Stored =>
  typeof data === "object" &&
  data !== null &&
  Object.keys(data).length === 1 &&
  ("message" in data || "fields" in data);

/** As the package reads it: the JSON of the field `data`, or the fields. */
function messageOf(data: unknown): unknown {
  if (!isStored(data)) return data;
  if ("message" in data) return data.message;
  try {
    return data.fields.data ? JSON.parse(data.fields.data) : data.fields;
  } catch {
    return data.fields;
  }
}

/** As Redis has it: a message is the JSON of the field `data`. */
function inFields({ id, data }: { id: string; data: unknown }) {
  const fields =
    isStored(data) && "fields" in data ? data.fields : { data: JSON.stringify(messageOf(data)) };
  return { id, fields };
}

function compareIds(a: string, b: string): number {
  const [aMs = "0", aNumber = "0"] = a.split("-");
  const [bMs = "0", bNumber = "0"] = b.split("-");
  return Number(BigInt(aMs) - BigInt(bMs)) || Number(BigInt(aNumber) - BigInt(bNumber));
}
