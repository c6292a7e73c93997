// Events to be published: parsed from messages, and as a write.
import type { NewEvent as NewEventMessage } from "../../../gen/cortex/events/v1/events_pb.js";
import type { Caller } from "../../grpc/call.js";
import * as check from "../../validation/fields.js";
import { json } from "../../validation/json.js";
import type { Guard } from "../guard.js";
import type { IdempotencyKey } from "../idempotency.js";
import { requestLockName } from "../locks.js";
import type { Write } from "../write-path.js";

export interface NewEvent {
  kind: "publish";
  tenant: string;
  channel: string;
  data: string;
  userId: string | undefined;
  agent: string | undefined;
}

const dataBytesMax = 64 * 1024;

/** `prefix` is that of field names in errors. */
export function parseEvent(
  { tenant, agent }: Caller,
  { channel, dataJson, userId }: NewEventMessage,
  prefix: string,
): NewEvent {
  return {
    kind: "publish",
    tenant,
    channel: check.channel(channel, `${prefix}channel`),
    data: json(dataJson, `${prefix}data_json`, dataBytesMax),
    userId: userId === undefined ? undefined : check.userId(userId, `${prefix}user_id`),
    agent,
  };
}

/** The parts of the event that the fingerprint of its request covers. */
export const eventIdentity = ({ channel, data, userId }: NewEvent) => ({ channel, data, userId });

/** Events that are all published or all refused. */
export interface EventWrite extends Write {
  events: NewEvent[];
}

export function eventWrite(
  tenant: string,
  events: NewEvent[],
  { key, guard }: { key?: IdempotencyKey | undefined; guard?: Guard | undefined } = {},
): EventWrite {
  const bytes = events.reduce((sum, { data }) => sum + data.length, 0);
  return {
    tenant,
    events,
    idempotencyKey: key,
    guard,
    keys: [`${tenant}\0\0\0\0\0\0`], // nothing else has this name, so nobody waits for it but behind a locked table
    conflictKeys: key ? [{ name: requestLockName(tenant, key.id), batchable: false }] : [],
    weight: events.length + Math.floor(bytes / 8192),
    adds: { keys: 0, bytes: 0, versions: 0, pending: 0 },
  };
}
