// Streams as the adapter has them: the calls of Redis, in the two forms of the two interfaces.
import { randomUUID } from "node:crypto";
import { CortexError, type ErrorCode, refused } from "../core/error.js";
import type { StreamEntries, StreamFields } from "../store/adapter.js";
import type { StreamReadRange } from "../store/backend.js";
import { rangeOf, startOf } from "../store/redis-ids.js";
import type { DeliveredEntry } from "../streams/entry.js";
import type { StreamGroup } from "../streams/group.js";
import type { Streams } from "../streams/streams.js";
import { jsonCopy } from "./json-copy.js";

const countMax = 1000;
const stepCount = 100;
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
  async xadd(stream: string, second: unknown, third?: unknown, fourth?: unknown): Promise<string> {
    if (fourth === undefined && !(isId(second) && haveFields(third))) {
      const { maxLen } = (third ?? {}) as { maxLen?: number };
      return this.streams.append(stream, { message: jsonCopy(second, "message") }, { maxLen });
    }
    const { maxLen } = (fourth ?? {}) as { maxLen?: number };
    const id = second === "*" ? undefined : fullId(second as string);
    return this.streams.append(stream, { fields: fieldsOf(third) }, { id, maxLen });
  }

  async xgroupCreate(stream: string, group: string, startId = "0"): Promise<void> {
    const { visibilitySeconds } = this;
    const start = startOf(startId);
    const from = start === "end" || start === "beginning" ? start : fullId(start);
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
        .ack(stream, ids.slice(at, at + countMax).map(String))
        .catch(unless("GROUP_NOT_FOUND", 0));
    return acknowledged;
  }

  /**
   * Reads a stream. Without `count` up to 1000 entries, in steps of 100: a read reserves as many pending as it asks for.
   */
  async #read(
    group: StreamGroup,
    stream: string,
    { count = 0, blockMs = 0 }: ReadOptions,
    options: { signal?: AbortSignal; requestId?: string } = {},
  ): Promise<DeliveredEntry[]> {
    const first = { blockMs: Math.min(Math.max(blockMs, 0), blockMsMax), ...options };
    if (count > 0) return group.read(stream, { count: Math.min(count, countMax), ...first });
    const entries = await group.read(stream, { count: stepCount, ...first });
    for (let last = entries.length; last === stepCount && entries.length < countMax; ) {
      const more = await group.read(stream, { count: stepCount }).catch(() => []); // the caller gets those read so far
      entries.push(...more);
      last = more.length;
    }
    return entries;
  }

  /** Reads several streams. If none has anything, waits for the first that has. */
  async #readAll(
    group: StreamGroup,
    streams: readonly { key: string; id: string }[],
    options: ReadOptions,
  ): Promise<StreamEntries[]> {
    for (const { id } of streams) if (id !== ">") checkId(id);
    const held = streams.filter(({ id }) => id !== ">");
    const fresh = streams.filter(({ id }) => id === ">").map(({ key }) => key);
    const found = await Promise.all(
      held.map(async ({ key, id }) => ({
        key,
        messages: await this.#held(group, key, id, options.count),
      })),
    );
    const atOnce = { ...options, blockMs: 0 };
    const read = (key: string) => ({ key, read: this.#read(group, key, atOnce) });
    found.push(...(await this.#allOrNone(group, fresh.map(read))));
    const isFound = found.some(({ messages }) => messages.length > 0);
    if (isFound || fresh.length === 0 || !((options.blockMs ?? 0) > 0)) return found;
    const first = new AbortController();
    const wait = (key: string) => ({
      key,
      read: this.#readUntil(group, key, options, first.signal).finally(() => first.abort()),
    });
    return this.#allOrNone(group, fresh.map(wait));
  }

  /** Waits for entries until another read has ended. What it was given at that moment is not lost. */
  async #readUntil(
    group: StreamGroup,
    stream: string,
    options: ReadOptions,
    signal: AbortSignal,
  ): Promise<DeliveredEntry[]> {
    const requestId = randomUUID();
    try {
      return await this.#read(group, stream, options, { requestId, signal });
    } catch (error) {
      if (!signal.aborted) throw error;
      // The stored reply of the cancelled read, if there is one; otherwise what is there now.
      return this.#read(group, stream, { ...options, blockMs: 0 }, { requestId });
    }
  }

  /** What the reads give. If one of them fails, what others were given goes back to the group. */
  async #allOrNone(
    group: StreamGroup,
    reads: readonly { key: string; read: Promise<DeliveredEntry[]> }[],
  ): Promise<StreamEntries[]> {
    const outcomes = await Promise.allSettled(reads.map(({ read }) => read));
    const given = reads.map(({ key }, i) => {
      const outcome = outcomes[i];
      return { key, entries: outcome?.status === "fulfilled" ? outcome.value : [] };
    });
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (!failure)
      return given.map(({ key, entries }) => ({ key, messages: entries.map(inFields) }));
    for (const { key, entries } of given)
      if (entries.length > 0) await group.nack(key, entries, { uncounted: true }).catch(() => {}); // then they come back by themselves
    throw failure.reason;
  }

  /** What the consumer holds after an id. */
  async #held(group: StreamGroup, stream: string, after: string, asked = 0) {
    const count = asked > 0 ? asked : countMax;
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

/** True for fields: options of an append have other names. */
const haveFields = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).some((name) => name !== "maxLen" && name !== "approximate");

/** The fields as texts. */
function fieldsOf(value: unknown): StreamFields {
  const fields = Object.entries((value ?? {}) as object);
  if (fields.length === 0) throw noField("fields", "are none");
  for (const [name, field] of fields)
    if (!["string", "number", "boolean"].includes(typeof field))
      throw noField(`fields.${name}`, `is ${field === null ? "null" : typeof field}, and no text`);
  return Object.fromEntries(fields.map(([name, field]) => [name, String(field)]));
}

const noField = (path: string, problem: string) =>
  new CortexError("INVALID_VALUE", `${path} ${problem}`, { path, problem });

/** An id with its number: `5` is `5-0`. */
const fullId = (id: string): string => (/^\d+$/.test(id) ? `${id}-0` : id);

function checkId(id: unknown): void {
  if (typeof id === "string" && /^\d+(-\d+)?$/.test(id)) return;
  throw refused("INVALID_ENTRY_ID", "id", `is neither ">" nor an id: ${String(id)}`);
}

const unless =
  <T>(code: ErrorCode, value: T) =>
  (error: unknown): T => {
    if (error instanceof CortexError && error.code === code) return value;
    throw error;
  };

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
