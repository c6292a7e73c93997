// A consumer of a group: reads the entries of a stream, and acknowledges them or gives them back.
import {
  DeliveryEnd,
  GroupStart,
  type PendingEntry as PendingMessage,
  Streams as StreamsService,
} from "../../gen/cortex/streams/v1/streams_pb.js";
import type { CallOptions, WriteOptions } from "../core/call-options.js";
import { toDate } from "../core/codec.js";
import { CortexError } from "../core/error.js";
import type { Json } from "../core/json.js";
import { checkTimeout } from "../core/retry.js";
import type { Transport } from "../core/transport.js";
import {
  callNames,
  callOptions,
  flag,
  listed,
  rejectUnknown,
  secondsOf,
  text,
  whole,
  writeOptions,
} from "../core/validate.js";
import { type ConsumeHandler, type ConsumeOptions, consume } from "./consume.js";
import {
  type DeliveredEntry,
  type DeliveryRef,
  deliveriesInit,
  idText,
  type StreamEntry,
  streamText,
  toDelivered,
  toEntry,
} from "./entry.js";
import { type GroupRecord, toGroupRecord } from "./records.js";

const rpc = StreamsService.method;
const blockMsMax = 3_600_000;

/** The options of `ensure`. */
export interface EnsureGroupOptions extends WriteOptions {
  /**
   * Where a new group begins: at the first entry (`beginning`), after the last one (`end`), or after the entry with an
   * id. Default: `beginning`.
   */
  from?: "beginning" | "end" | (string & {}) | undefined;
  /**
   * How long a consumer may hold an entry before it goes to another: 0.1 to 604 800 (a week). Default: 60 for a new
   * group; one that exists keeps what it has.
   */
  visibilitySeconds?: number | undefined;
  /**
   * How often an entry is delivered before it becomes a dead letter: 1 to 1000; 0: again and again. Default: 0 for a
   * new group; one that exists keeps what it has.
   */
  maxDeliveries?: number | undefined;
}

/** The options of `read`. */
export interface GroupReadOptions extends WriteOptions {
  /** How many at most: 1 to 1000. Default: 10. */
  count?: number | undefined;
  /** How long to wait for an entry, in milliseconds: at most an hour. Apart from `timeoutMs`. Default: not at all. */
  blockMs?: number | undefined;
}

/** The options of `nack`. */
export interface NackOptions extends WriteOptions {
  /** How long the entries are not delivered, in milliseconds: at most a week. Default: 0. */
  delayMs?: number | undefined;
  /** Why, for the history of the entries: up to 1024 bytes. Default: nothing. */
  reason?: string | undefined;
  /** True if this consumer has not looked at the entries: then the deliveries do not count. Default: false. */
  uncounted?: boolean | undefined;
}

/** The options of `takeOver`. */
export interface TakeOverOptions extends WriteOptions {
  /** Only entries that were delivered so long ago, in milliseconds. */
  minIdleMs: number;
  /** Only these entries. Default: any. */
  ids?: readonly string[] | undefined;
  /** How many at most: 1 to 1000. Default: 100. */
  count?: number | undefined;
}

/** The options of `deadLetters`. */
export interface DeadLetterOptions extends CallOptions {
  /** How many at most: 1 to 1000. Default: 100. */
  limit?: number | undefined;
  /** The token that the page before gave. */
  pageToken?: string | undefined;
}

/** The options of `pending`. */
export interface PendingOptions extends DeadLetterOptions {
  /** Only what this consumer holds. Default: all, also what was given back. */
  consumer?: string | undefined;
}

/** An entry that a group has pending, or a dead letter. */
export interface PendingEntry<T = any> extends StreamEntry<T> {
  /** The consumer that holds it, or held it last. */
  consumer: string;
  /** The number of its last delivery. */
  delivery: string;
  /** How often it was delivered. */
  deliveries: number;
  deliveredAt: Date;
  /** When it comes back; in the past: it has come back. undefined: it is a dead letter. */
  visibleAt?: Date;
  /** When it became a dead letter. */
  deadAt?: Date;
  /** How its deliveries ended: the last 20, the oldest first. */
  history: PastDelivery[];
}

/** A delivery that has ended without an acknowledgement. */
export interface PastDelivery {
  consumer: string;
  deliveredAt: Date;
  end: "timed out" | "given back" | "taken over" | "consumer removed";
  /** The reason that was given to `nack`, or the message of the error that a handler of `consume` threw. */
  reason?: string;
}

/** A page of pending entries. */
export interface PendingResult<T = any> {
  entries: PendingEntry<T>[];
  /** The token of the next page; undefined: this is the last one. */
  nextPageToken?: string;
}

export const groupText = (value: unknown, field: "group" | "consumer") =>
  text(value, field, "INVALID_STREAM");

/**
 * A consumer of a group: see `streams.group`. Every method takes the stream, and fails with INVALID_STREAM or
 * GROUP_NOT_FOUND.
 */
export class StreamGroup {
  readonly #transport: Transport;

  constructor(
    transport: Transport,
    /** The name of the group. */
    readonly name: string,
    /** The name of the consumer. */
    readonly consumer: string,
  ) {
    this.#transport = transport;
  }

  /**
   * Creates the group, and the stream if there is none. If the group exists, it keeps its place; options that are given
   * are changed.
   *
   * @returns `created`: false if the group was there.
   * @throws INVALID_ENTRY_ID, INVALID_TTL, INVALID_LIMIT, QUOTA_EXCEEDED (also if the stream has 100 groups).
   */
  async ensure(stream: string, options: EnsureGroupOptions = {}): Promise<{ created: boolean }> {
    writeOptions(options, "ensure", ["from", "visibilitySeconds", "maxDeliveries"]);
    const { from = "beginning", visibilitySeconds, maxDeliveries, ...rest } = options;
    const request = {
      ...this.#named(stream),
      ...(from === "beginning" || from === "end"
        ? { start: from === "end" ? GroupStart.END : GroupStart.BEGINNING }
        : { afterId: idText(from, "from") }),
      ...(visibilitySeconds !== undefined && {
        visibilitySeconds: secondsOf(visibilitySeconds, "visibilitySeconds"),
      }),
      ...(maxDeliveries !== undefined && {
        maxDeliveries: whole(maxDeliveries, "maxDeliveries", "INVALID_LIMIT"),
      }),
    };
    const { created } = await this.#transport.write(rpc.ensureGroup, request, rest);
    return { created };
  }

  /**
   * Gives entries to this consumer, which holds them until it acknowledges them or gives them back, at most for the
   * visibility time of the group: first those that came back, then new ones. With `blockMs` it waits for the first.
   *
   * @returns The entries; none if there are none.
   * @throws INVALID_LIMIT, QUOTA_EXCEEDED (the tenant has too many pending), OVERLOADED, FENCE_STALE.
   */
  async read<T = any>(
    stream: string,
    options: GroupReadOptions = {},
  ): Promise<DeliveredEntry<T>[]> {
    writeOptions(options, "read", ["count", "blockMs"]);
    const { entries } = await this.#read(stream, options);
    return entries.map((one) => toDelivered<T>(one, stream, this.#transport.json));
  }

  async #read(stream: string, { count, blockMs = 0, ...rest }: GroupReadOptions) {
    const timeoutMs = checkTimeout(rest.timeoutMs ?? this.#transport.timeoutMs);
    const waitMs = milliseconds(blockMs, "blockMs", blockMsMax);
    const request = {
      ...this.#named(stream),
      consumer: this.consumer,
      ...(count !== undefined && { count: whole(count, "count", "INVALID_LIMIT") }),
      ...(waitMs > 0 && { blockSeconds: waitMs / 1000 }),
    };
    const options = { ...rest, timeoutMs: timeoutMs + waitMs };
    return waitMs > 0
      ? this.#transport.waitingWrite(rpc.read, request, options)
      : this.#transport.write(rpc.read, request, options);
  }

  /**
   * Acknowledges entries: the group is done with them. It counts those that it has ended: not those that have gone to
   * another consumer since, or were acknowledged before.
   *
   * @param deliveries Delivered entries, or ids: acknowledged whoever holds them. At most 1000.
   * @throws INVALID_BATCH, INVALID_ENTRY_ID, FENCE_STALE.
   */
  async ack(
    stream: string,
    deliveries: readonly DeliveryRef[],
    options: WriteOptions = {},
  ): Promise<number> {
    writeOptions(options, "ack");
    const request = { ...this.#named(stream), deliveries: deliveriesInit(deliveries) };
    const { acknowledged } = await this.#transport.write(rpc.ack, request, options);
    return acknowledged;
  }

  /**
   * Gives entries back: they are delivered again, at once or after `delayMs`, or become dead letters if they were
   * delivered `maxDeliveries` times.
   *
   * @returns How many were given back, dead letters included. The count is as in `ack`.
   * @throws INVALID_BATCH, INVALID_ENTRY_ID, INVALID_OPTIONS, FENCE_STALE.
   */
  async nack(
    stream: string,
    deliveries: readonly DeliveryRef[],
    options: NackOptions = {},
  ): Promise<number> {
    writeOptions(options, "nack", ["delayMs", "reason", "uncounted"]);
    const { delayMs = 0, reason, uncounted = false, ...rest } = options;
    const request = {
      ...this.#named(stream),
      deliveries: deliveriesInit(deliveries),
      delaySeconds: milliseconds(delayMs, "delayMs", weekMs) / 1000,
      ...(reason !== undefined && { reason: text(reason, "reason", "INVALID_OPTIONS") }),
      uncounted: flag(uncounted, "uncounted"),
    };
    const { givenBack } = await this.#transport.write(rpc.nack, request, rest);
    return givenBack;
  }

  /**
   * Holds entries for longer: their visibility time begins anew.
   *
   * @returns The deliveries that are still held. The others have ended.
   * @throws INVALID_BATCH, INVALID_ENTRY_ID.
   */
  async extend(
    stream: string,
    deliveries: readonly DeliveryRef[],
    options: CallOptions = {},
  ): Promise<{ id: string; delivery: string }[]> {
    callOptions(options, "extend");
    const request = { ...this.#named(stream), deliveries: deliveriesInit(deliveries) };
    const { held } = await this.#transport.unary(rpc.extend, request, options);
    return held.map(({ id, delivery = "" }) => ({ id, delivery }));
  }

  /**
   * Calls a function for each entry, up to `concurrency` at a time, until the signal aborts or the client is closed.
   * What the function has returned from, or its promise resolved, is acknowledged; what it throws is given back, with
   * the error's message as the reason. While it works, the entry is held: `consume` extends it.
   *
   * It ends once the functions that are at work have ended, also if it fails.
   *
   * @throws GROUP_NOT_FOUND, PERMISSION_DENIED, and other errors that would come again. It goes on after a lost
   * connection, and while the tenant has too many pending (QUOTA_EXCEEDED).
   *
   * ```ts
   * await workers.consume("jobs", async ({ data, deliveries }) => work(data), { concurrency: 16, signal });
   * ```
   */
  async consume<T = any>(
    stream: string,
    handler: ConsumeHandler<T>,
    options: ConsumeOptions = {},
  ): Promise<void> {
    const { json } = this.#transport;
    await consume<T>(
      {
        read: async (options) => {
          const { entries, visibilitySeconds } = await this.#read(stream, options);
          return {
            entries: entries.map((one) => toDelivered<T>(one, stream, json)),
            visibilitySeconds,
          };
        },
        ack: (entries) => this.ack(stream, entries),
        nack: (entries, options) => this.nack(stream, entries, options),
        extend: (entries, options) => this.extend(stream, entries, options),
        closing: this.#transport.connection.closing,
        renewsToken: this.#transport.renewsToken,
      },
      handler,
      options,
    );
  }

  /**
   * Lists what the group has pending, of all its consumers, in the order of the ids.
   *
   * @throws INVALID_FILTER (`consumer`), INVALID_LIMIT, INVALID_PAGE_TOKEN.
   */
  async pending<T = any>(stream: string, options: PendingOptions = {}): Promise<PendingResult<T>> {
    const names = ["consumer", "limit", "pageToken", ...callNames];
    rejectUnknown(options, names, "INVALID_OPTIONS", "pending");
    return this.#pending<T>(stream, options, false);
  }

  /**
   * Lists the dead letters of the group, with their histories. `retry` gives them back, `ack` removes them.
   *
   * @throws INVALID_LIMIT, INVALID_PAGE_TOKEN.
   */
  async deadLetters<T = any>(
    stream: string,
    options: DeadLetterOptions = {},
  ): Promise<PendingResult<T>> {
    rejectUnknown(options, ["limit", "pageToken", ...callNames], "INVALID_OPTIONS", "deadLetters");
    return this.#pending<T>(stream, options, true);
  }

  async #pending<T>(
    stream: string,
    { consumer, limit, pageToken = "", ...rest }: PendingOptions,
    deadLetters: boolean,
  ): Promise<PendingResult<T>> {
    const request = {
      ...this.#named(stream),
      deadLetters: flag(deadLetters, "deadLetters"),
      ...(consumer !== undefined && { consumer: text(consumer, "consumer", "INVALID_FILTER") }),
      ...(limit !== undefined && { limit: whole(limit, "limit", "INVALID_LIMIT") }),
      pageToken: text(pageToken, "pageToken", "INVALID_PAGE_TOKEN"),
    };
    const { entries, nextPageToken } = await this.#transport.unary(rpc.pending, request, rest);
    return {
      entries: entries.map((one) => toPendingEntry<T>(one, stream, this.#transport.json)),
      ...(nextPageToken !== "" && { nextPageToken }),
    };
  }

  /**
   * Takes entries over from consumers that have held them for long, without waiting for their visibility time.
   *
   * @throws INVALID_OPTIONS (`minIdleMs`), INVALID_LIMIT, INVALID_BATCH, INVALID_ENTRY_ID, FENCE_STALE.
   */
  async takeOver<T = any>(stream: string, options: TakeOverOptions): Promise<DeliveredEntry<T>[]> {
    writeOptions(options ?? {}, "takeOver", ["minIdleMs", "ids", "count"]);
    const { minIdleMs, ids = [], count, ...rest } = options ?? {};
    const request = {
      ...this.#named(stream),
      consumer: this.consumer,
      minIdleSeconds: milliseconds(minIdleMs, "minIdleMs", weekMs) / 1000,
      ids: listed(ids, "ids").map((id, i) => idText(id, `ids[${i}]`)),
      ...(count !== undefined && { count: whole(count, "count", "INVALID_LIMIT") }),
    };
    const { entries } = await this.#transport.write(rpc.takeOver, request, rest);
    return entries.map((one) => toDelivered<T>(one, stream, this.#transport.json));
  }

  /**
   * Gives dead letters back to the group: they are delivered again, and their deliveries are counted from 0.
   *
   * @param ids 1 to 1000.
   * @returns How many there were.
   * @throws INVALID_BATCH, INVALID_ENTRY_ID, FENCE_STALE.
   */
  async retry(stream: string, ids: readonly string[], options: WriteOptions = {}): Promise<number> {
    writeOptions(options, "retry");
    const texts = listed(ids, "ids").map((id, i) => idText(id, `ids[${i}]`));
    const request = { ...this.#named(stream), ids: texts };
    const { givenBack } = await this.#transport.write(rpc.retry, request, options);
    return givenBack;
  }

  /**
   * Gives back all entries that a consumer holds, such as one that is gone. It may read again.
   *
   * @param consumer Default: this one.
   * @returns How many it held.
   */
  async removeConsumer(
    stream: string,
    consumer = this.consumer,
    options: WriteOptions = {},
  ): Promise<number> {
    writeOptions(options, "removeConsumer");
    const request = { ...this.#named(stream), consumer: groupText(consumer, "consumer") };
    const { givenBack } = await this.#transport.write(rpc.removeConsumer, request, options);
    return Number(givenBack);
  }

  /** Describes the group, with the consumers that hold entries. */
  async info(stream: string, options: CallOptions = {}): Promise<GroupRecord> {
    callOptions(options, "info");
    const { groups } = await this.#transport.unary(rpc.info, this.#named(stream), options);
    const [group] = groups;
    if (!group) throw new TypeError("the response holds no group");
    return toGroupRecord(group);
  }

  /** Deletes the group, with what it has pending. The entries stay in the stream. False if there was none. */
  async delete(stream: string, options: WriteOptions = {}): Promise<boolean> {
    writeOptions(options, "delete");
    const { deleted } = await this.#transport.write(rpc.deleteGroup, this.#named(stream), options);
    return deleted;
  }

  #named(stream: string): { stream: string; group: string } {
    return { stream: streamText(stream), group: this.name };
  }
}

const weekMs = 604_800_000;

function milliseconds(value: unknown, field: string, max: number): number {
  if (typeof value === "number" && value >= 0 && value <= max) return value;
  const problem = `is not a number of milliseconds up to ${max}`;
  throw new CortexError("INVALID_OPTIONS", `${field} ${problem}`, { field, problem });
}

const ends: Record<DeliveryEnd, PastDelivery["end"]> = {
  [DeliveryEnd.UNSPECIFIED]: "timed out",
  [DeliveryEnd.TIMED_OUT]: "timed out",
  [DeliveryEnd.GIVEN_BACK]: "given back",
  [DeliveryEnd.TAKEN_OVER]: "taken over",
  [DeliveryEnd.CONSUMER_REMOVED]: "consumer removed",
};

function toPendingEntry<T>(message: PendingMessage, stream: string, json: Json): PendingEntry<T> {
  const { entry, consumer, delivery, deliveries, deliveryTime, visibleTime, deadTime } = message;
  return {
    ...toEntry<T>(entry, stream, json),
    consumer,
    delivery,
    deliveries,
    deliveredAt: toDate(deliveryTime),
    ...(visibleTime && { visibleAt: toDate(visibleTime) }),
    ...(deadTime && { deadAt: toDate(deadTime) }),
    history: message.history.map(({ consumer, deliveryTime, end, reason }) => ({
      consumer,
      deliveredAt: toDate(deliveryTime),
      end: ends[end],
      ...(reason !== undefined && { reason }),
    })),
  };
}
