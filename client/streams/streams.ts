// The client of Streams: logs of entries, which groups of consumers share among them.
import { Streams as StreamsService } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { CallOptions, WriteOptions } from "../core/call-options.js";
import type { Transport } from "../core/transport.js";
import {
  callNames,
  callOptions,
  flag,
  listed,
  rejectUnknown,
  text,
  whole,
  writeNames,
  writeOptions,
} from "../core/validate.js";
import {
  type EntryToAppend,
  entryInit,
  idText,
  type StreamEntry,
  type StreamEntryOptions,
  streamText,
  type TrimOnAppend,
  toEntry,
  trimInit,
  trimNames,
} from "./entry.js";
import { groupText, StreamGroup } from "./group.js";
import { type GroupRecord, type StreamRecord, toGroupRecord, toStreamRecord } from "./records.js";

const rpc = StreamsService.method;

/** The options of `streams.append`. */
export interface AppendOptions extends WriteOptions, StreamEntryOptions, TrimOnAppend {}

/** The options of `streams.range` and `streams.scan`. */
export interface StreamRangeOptions extends CallOptions {
  /** The lowest id; `<milliseconds>` is the first of that millisecond. Default: the first entry. */
  from?: string | undefined;
  /** The highest id; `<milliseconds>` is the last of that millisecond. Default: the last entry. */
  to?: string | undefined;
  /** True to give the highest ids first. Default: false. */
  reverse?: boolean | undefined;
  /** How many at most: 1 to 1000. Default: 100. */
  limit?: number | undefined;
}

/** A page of entries. */
export interface StreamRangeResult<T = any> {
  entries: StreamEntry<T>[];
  /** The token of the next page; undefined: this is the last one. */
  nextPageToken?: string;
}

/** The options of `streams.trim`. It needs a bound. What is beyond any of its bounds is deleted. */
export interface StreamTrimOptions extends WriteOptions {
  /** How many entries to keep: at least 0. */
  maxLen?: number | undefined;
  /** How old an entry may be, in seconds, by its id: above 0. */
  maxAgeSeconds?: number | undefined;
  /** The lowest id to keep. */
  beforeId?: string | undefined;
  /** True to delete also what groups have pending or as dead letters. Default: false. */
  includePending?: boolean | undefined;
}

/** The options of `streams.list`. */
export interface StreamListOptions extends CallOptions {
  /** Only names that begin with this. Default: all. */
  prefix?: string | undefined;
  /** How many: 1 to 1000. Default: 100. */
  limit?: number | undefined;
  /** The token that the page before gave. */
  pageToken?: string | undefined;
}

const rangeNames = ["from", "to", "reverse", "limit"];

/**
 * Streams: a stream is a log to which entries are appended, in one order for all. Consumer groups share its entries:
 * each goes to one consumer of each group, until it is acknowledged.
 */
export class Streams {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Appends an entry. The first one creates the stream.
   *
   * @param stream 1 to 512 bytes of UTF-8, not blank, without control characters.
   * @param data Any JSON value up to 1 MiB, unless the server is configured otherwise.
   * @returns The id of the entry.
   * @throws INVALID_STREAM, INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP, INVALID_ENTRY_ID, ENTRY_ID_TOO_LOW,
   * INVALID_LIMIT (`maxLen`), INVALID_TTL (`maxAgeSeconds`), USER_NOT_FOUND, FENCE_STALE, QUOTA_EXCEEDED.
   *
   * ```ts
   * const id = await cortex.streams.append("jobs", { url: "https://example.com" }, { maxLen: 100_000 });
   * ```
   */
  async append(stream: string, data: unknown, options: AppendOptions = {}): Promise<string> {
    writeOptions(options, "append", ["userId", "id", ...trimNames]);
    const { userId, id, maxLen, maxAgeSeconds, ...rest } = options;
    const request = {
      stream: streamText(stream),
      entries: [entryInit({ data, userId, id })],
      ...trimInit({ maxLen, maxAgeSeconds }),
    };
    const { ids } = await this.#transport.write(rpc.append, request, rest);
    return ids[0] as string;
  }

  /**
   * Appends up to 1000 entries, all or none of them, in the order of the list. An empty list does nothing.
   *
   * @returns The ids of the entries.
   * @throws INVALID_BATCH, and as `append`.
   */
  async appendMany(
    stream: string,
    entries: readonly EntryToAppend[],
    options: WriteOptions & TrimOnAppend = {},
  ): Promise<string[]> {
    writeOptions(options, "appendMany", trimNames);
    const { maxLen, maxAgeSeconds, ...rest } = options;
    const request = {
      stream: streamText(stream),
      entries: listed(entries, "entries").map((entry, i) => entryInit(entry, `entries[${i}].`)),
      ...trimInit({ maxLen, maxAgeSeconds }),
    };
    const { ids } = await this.#transport.write(rpc.append, request, rest);
    return ids;
  }

  /**
   * Reads a page of entries by their ids. A stream that does not exist has none.
   *
   * @throws INVALID_STREAM, INVALID_ENTRY_ID, INVALID_LIMIT, INVALID_PAGE_TOKEN.
   *
   * ```ts
   * const { entries } = await cortex.streams.range("jobs", { reverse: true, limit: 10 }); // the last ten
   * ```
   */
  async range<T = any>(
    stream: string,
    options: StreamRangeOptions & { pageToken?: string | undefined } = {},
  ): Promise<StreamRangeResult<T>> {
    const names = [...rangeNames, "pageToken", ...callNames];
    rejectUnknown(options, names, "INVALID_OPTIONS", "range");
    const { from, to, reverse, limit, pageToken = "", ...rest } = options;
    const name = streamText(stream);
    const request = {
      stream: name,
      ...(from !== undefined && { fromId: idText(from, "from") }),
      ...(to !== undefined && { toId: idText(to, "to") }),
      ...(reverse !== undefined && { reverse: flag(reverse, "reverse") }),
      ...(limit !== undefined && { limit: whole(limit, "limit", "INVALID_LIMIT") }),
      pageToken: text(pageToken, "pageToken", "INVALID_PAGE_TOKEN"),
    };
    const { entries, nextPageToken } = await this.#transport.unary(rpc.range, request, rest);
    return {
      entries: entries.map((entry) => toEntry<T>(entry, name, this.#transport.json)),
      ...(nextPageToken !== "" && { nextPageToken }),
    };
  }

  /**
   * Gives all entries by their ids, in pages of `limit`, in constant memory. What is appended meanwhile comes too,
   * unless `reverse` is set.
   *
   * @throws As `range`.
   */
  async *scan<T = any>(
    stream: string,
    options: StreamRangeOptions = {},
  ): AsyncGenerator<StreamEntry<T>, void, undefined> {
    rejectUnknown(options, [...rangeNames, ...callNames], "INVALID_OPTIONS", "scan");
    let pageToken: string | undefined = "";
    while (pageToken !== undefined) {
      const page: StreamRangeResult<T> = await this.range<T>(stream, { ...options, pageToken });
      yield* page.entries;
      pageToken = page.nextPageToken;
    }
  }

  /**
   * Deletes the oldest entries. What a group has pending or as a dead letter stays, unless `includePending` is set;
   * what a group has not read yet is deleted.
   *
   * @returns How many entries were deleted.
   * @throws INVALID_STREAM, INVALID_OPTIONS (it names no bound), INVALID_LIMIT, INVALID_TTL, INVALID_ENTRY_ID,
   * FENCE_STALE.
   */
  async trim(stream: string, options: StreamTrimOptions): Promise<number> {
    const names = ["beforeId", "includePending", ...trimNames];
    writeOptions(options ?? {}, "trim", names);
    const { maxLen, maxAgeSeconds, beforeId, includePending, ...rest } = options ?? {};
    const request = {
      stream: streamText(stream),
      ...trimInit({ maxLen, maxAgeSeconds }),
      ...(beforeId !== undefined && { beforeId: idText(beforeId, "beforeId") }),
      ...(includePending !== undefined && {
        includePending: flag(includePending, "includePending"),
      }),
    };
    const { deleted } = await this.#transport.write(rpc.trim, request, rest);
    return Number(deleted);
  }

  /** Describes a stream and its groups; null if there is no such stream. Throws INVALID_STREAM. */
  async info(
    stream: string,
    options: CallOptions = {},
  ): Promise<(StreamRecord & { groups: GroupRecord[] }) | null> {
    callOptions(options, "info");
    const info = await this.#transport.unary(rpc.info, { stream: streamText(stream) }, options);
    return info.stream
      ? { ...toStreamRecord(info.stream), groups: info.groups.map(toGroupRecord) }
      : null;
  }

  /**
   * Lists the streams, in the order of their names.
   *
   * @throws INVALID_FILTER, INVALID_LIMIT, INVALID_PAGE_TOKEN.
   */
  async list(
    options: StreamListOptions = {},
  ): Promise<{ streams: StreamRecord[]; nextPageToken?: string }> {
    const names = ["prefix", "limit", "pageToken", ...callNames];
    rejectUnknown(options, names, "INVALID_OPTIONS", "list");
    const { prefix, limit, pageToken = "", ...rest } = options;
    const request = {
      pageToken: text(pageToken, "pageToken", "INVALID_PAGE_TOKEN"),
      ...(prefix !== undefined && { prefix: text(prefix, "prefix", "INVALID_FILTER") }),
      ...(limit !== undefined && { limit: whole(limit, "limit", "INVALID_LIMIT") }),
    };
    const { streams, nextPageToken } = await this.#transport.unary(rpc.list, request, rest);
    return {
      streams: streams.map(toStreamRecord),
      ...(nextPageToken !== "" && { nextPageToken }),
    };
  }

  /** Deletes a stream, with its entries and groups. Throws INVALID_STREAM, FENCE_STALE. */
  async delete(
    stream: string,
    options: WriteOptions = {},
  ): Promise<{ deleted: boolean; entries: number }> {
    rejectUnknown(options, writeNames, "INVALID_OPTIONS", "delete");
    const request = { stream: streamText(stream) };
    const { deleted, entries } = await this.#transport.write(rpc.delete, request, options);
    return { deleted, entries: Number(entries) };
  }

  /**
   * A consumer of a group. It is only a pair of names: nothing is sent.
   *
   * @param name The group: 1 to 256 bytes of UTF-8, not blank, without control characters.
   * @param consumer The consumer, written likewise. One that comes back under its name holds what it held.
   *
   * ```ts
   * const workers = cortex.streams.group("workers", "worker-1");
   * await workers.ensure("jobs");
   * await workers.consume("jobs", async ({ data }) => work(data), { concurrency: 4, signal });
   * ```
   */
  group(name: string, consumer: string): StreamGroup {
    return new StreamGroup(
      this.#transport,
      groupText(name, "group"),
      groupText(consumer, "consumer"),
    );
  }
}
