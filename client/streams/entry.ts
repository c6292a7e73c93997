// Entries of streams as they are appended and as they come.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  Delivered,
  DeliverySchema,
  Entry,
  NewEntriesSchema,
  NewEntrySchema,
} from "../../gen/cortex/streams/v1/streams_pb.js";
import { CortexError } from "../core/error.js";
import { type Json, toJson } from "../core/json.js";
import { listed, rejectUnknown, secondsOf, text, userIdText, whole } from "../core/validate.js";

/** The options of one entry. */
export interface StreamEntryOptions {
  /** The user it belongs to; must exist. It is erased together with the user. Default: none. */
  userId?: string | undefined;
  /**
   * The id, `<milliseconds>-<number>`: above all ids that the stream has given. Default: the server gives the next one.
   */
  id?: string | undefined;
}

/** An entry to be appended. */
export interface EntryToAppend extends StreamEntryOptions {
  /** Any JSON value. */
  data: unknown;
}

/** How long the stream becomes. What a group has pending or as a dead letter stays. */
export interface TrimOnAppend {
  /** How many entries the stream keeps: at least 1. Default: no limit. */
  maxLen?: number | undefined;
  /** How old an entry may become, in seconds, by its id: above 0. Default: no limit. */
  maxAgeSeconds?: number | undefined;
}

/** An entry of a stream. */
export interface StreamEntry<T = any> {
  /** `<milliseconds>-<number>`. */
  id: string;
  data: T;
  /** The user it belongs to; undefined: none. */
  userId?: string;
  /** The agent that appended it; undefined: its client had no `agentId`. */
  appendedBy?: string;
}

/** An entry that was delivered to a consumer. */
export interface DeliveredEntry<T = any> extends StreamEntry<T> {
  /** The number of the delivery. */
  delivery: string;
  /** How often the group has delivered the entry, this delivery included. */
  deliveries: number;
}

/** A delivery: a delivered entry, or its parts. Without `delivery`: whichever it is now. Or just an id. */
export type DeliveryRef = string | { readonly id: string; readonly delivery?: string | undefined };

export const streamText = (value: unknown, field = "stream") =>
  text(value, field, "INVALID_STREAM");
export const idText = (value: unknown, field: string) => text(value, field, "INVALID_ENTRY_ID");

const entryNames = ["data", "userId", "id"];

/** The entry as a message. `prefix` is that of field names in errors. */
export function entryInit(
  entry: EntryToAppend,
  prefix = "",
): MessageInitShape<typeof NewEntrySchema> {
  rejectUnknown(entry, entryNames, "INVALID_OPTIONS", prefix ? prefix.slice(0, -1) : "append");
  const { data, userId, id } = entry;
  return {
    dataJson: toJson(data, `${prefix}data`),
    ...(userId !== undefined && { userId: userIdText(userId, `${prefix}userId`) }),
    ...(id !== undefined && { id: idText(id, `${prefix}id`) }),
  };
}

export const trimNames = ["maxLen", "maxAgeSeconds"];

export function trimInit({ maxLen, maxAgeSeconds }: TrimOnAppend) {
  return {
    ...(maxLen !== undefined && { maxLen: BigInt(whole(maxLen, "maxLen", "INVALID_LIMIT")) }),
    ...(maxAgeSeconds !== undefined && {
      maxAgeSeconds: secondsOf(maxAgeSeconds, "maxAgeSeconds"),
    }),
  };
}

/** The options of an append in a transaction. */
export interface AppendEntryOptions extends StreamEntryOptions, TrimOnAppend {}

/** An append as an operation of a transaction. */
export function appendInit(
  stream: string,
  data: unknown,
  options: AppendEntryOptions,
  what: string,
): MessageInitShape<typeof NewEntriesSchema> {
  rejectUnknown(options, ["userId", "id", ...trimNames], "INVALID_OPTIONS", what);
  const { userId, id, ...trim } = options;
  const entry = entryInit({ data, userId, id });
  return { stream: streamText(stream), entries: [entry], ...trimInit(trim) };
}

export function deliveriesInit(
  deliveries: readonly DeliveryRef[],
): MessageInitShape<typeof DeliverySchema>[] {
  return listed(deliveries, "deliveries").map((one, i) => {
    if (typeof one === "string") return { id: one };
    if (typeof one !== "object" || one === null) throw noDelivery(i);
    const { id, delivery } = one;
    if (delivery !== undefined && !isInt64(delivery)) throw noDelivery(i);
    return {
      id: idText(id, `deliveries[${i}].id`),
      ...(delivery !== undefined && { delivery }),
    };
  });
}

/** True for the text of a number of at most 63 bits. */
const isInt64 = (text: unknown): boolean =>
  typeof text === "string" && /^\d{1,19}$/.test(text) && BigInt(text) < 2n ** 63n;

function noDelivery(i: number): CortexError {
  const field = `deliveries[${i}]`;
  const problem = "is neither a delivered entry nor the id of one";
  return new CortexError("INVALID_ENTRY_ID", `${field} ${problem}`, { field, problem });
}

export function toEntry<T>(entry: Entry | undefined, stream: string, json: Json): StreamEntry<T> {
  const { id = "", dataJson = "null", userId, appendedBy } = entry ?? {};
  return {
    id,
    data: json.parse<T>(dataJson, `stream\0${stream}\0${id}`),
    ...(userId !== undefined && { userId }),
    ...(appendedBy !== undefined && { appendedBy }),
  };
}

export const toDelivered = <T>(
  { entry, delivery, deliveries }: Delivered,
  stream: string,
  json: Json,
): DeliveredEntry<T> => ({ ...toEntry<T>(entry, stream, json), delivery, deliveries });
