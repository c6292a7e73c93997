// Events as they are published and as they come.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Event, NewEventSchema } from "../../gen/cortex/events/v1/events_pb.js";
import type { ScopeStep } from "../core/call-options.js";
import { toDate } from "../core/codec.js";
import { type Json, toJson } from "../core/json.js";
import { rejectUnknown, text, userIdText } from "../core/validate.js";

/** The options of one event. */
export interface EventOptions {
  /** The user it belongs to; must exist. Default: none. */
  userId?: string | undefined;
}

/** An event to be published. */
export interface EventToPublish extends EventOptions {
  /** 1 to 512 bytes of UTF-8: segments that `:` joins, without `*`. */
  channel: string;
  /** Any JSON value up to 64 KiB. */
  data: unknown;
}

/** An event that was published. */
export interface EventEnvelope<T = any> {
  /** The channel. */
  type: string;
  data: T;
  /** When it was published, by the database's clock: ISO 8601, UTC, with milliseconds. */
  timestamp: string;
  /** The agent that published it; undefined: its client had no `agentId`. */
  publishedBy?: string;
  /** The innermost step of the scope in which it was published; undefined: none. */
  scope?: ScopeStep;
}

/** The event as a message. `prefix` is that of field names in errors. */
export function eventInit(
  event: EventToPublish,
  prefix = "",
): MessageInitShape<typeof NewEventSchema> {
  const names = ["channel", "data", "userId"];
  rejectUnknown(event, names, "INVALID_OPTIONS", prefix ? prefix.slice(0, -1) : "publish");
  const { channel, data, userId } = event;
  return {
    channel: text(channel, `${prefix}channel`, "INVALID_CHANNEL"),
    dataJson: toJson(data, `${prefix}data`),
    ...(userId !== undefined && { userId: userIdText(userId, `${prefix}userId`) }),
  };
}

export function toEnvelope<T>(
  event: Event,
  json: Json,
  scope: ScopeStep | undefined,
): EventEnvelope<T> {
  const { channel, dataJson, publishTime, publishedBy } = event;
  return {
    type: channel,
    data: json.parse<T>(dataJson, `event\0${channel}`),
    timestamp: toDate(publishTime).toISOString(),
    ...(publishedBy !== undefined && { publishedBy }),
    ...(scope && { scope }),
  };
}
