// Entries to be appended: parsed from messages, and as a write.
import type {
  NewEntries,
  NewEntry as NewEntryMessage,
} from "../../../gen/cortex/streams/v1/streams_pb.js";
import type { Config } from "../../config/config.js";
import { CortexError } from "../../errors/reasons.js";
import type { Caller } from "../../grpc/call.js";
import * as check from "../../validation/fields.js";
import { json } from "../../validation/json.js";
import {
  type EntryId,
  idText,
  isAbove,
  maxLen,
  newId,
  stream,
} from "../../validation/stream-fields.js";
import type { Guard } from "../guard.js";
import type { IdempotencyKey } from "../idempotency.js";
import { requestLockName } from "../locks.js";
import type { Write } from "../write-path.js";
import { streamLockName } from "./stream.js";

export interface NewEntry {
  data: string;
  userId: string | undefined;
  /** undefined: the next one. */
  id: EntryId | undefined;
}

/** The entries of one request or operation. */
export interface NewAppend {
  kind: "append_entries";
  tenant: string;
  stream: string;
  entries: NewEntry[];
  maxLen: number | undefined;
  maxAgeSeconds: number | undefined;
  agent: string | undefined;
}

const entryBytes = 64; // that an entry takes in a quota, apart from its data: see migration 0026

/** `prefix` is that of field names in errors. */
export function parseAppend(
  { tenant, agent }: Caller,
  message: Pick<NewEntries, "stream" | "entries" | "maxLen" | "maxAgeSeconds">,
  config: Config,
  prefix = "",
): NewAppend {
  check.batch(`${prefix}entries`, message.entries.length);
  const entries = message.entries.map((entry, i) =>
    parseEntry(entry, config, `${prefix}entries[${i}].`),
  );
  checkIds(entries, prefix);
  return {
    kind: "append_entries",
    tenant,
    stream: stream(message.stream, `${prefix}stream`),
    entries,
    maxLen:
      message.maxLen === undefined ? undefined : maxLen(message.maxLen, 1, `${prefix}max_len`),
    maxAgeSeconds:
      message.maxAgeSeconds === undefined
        ? undefined
        : check.ttlSeconds(message.maxAgeSeconds, `${prefix}max_age_seconds`),
    agent,
  };
}

const parseEntry = (
  { dataJson, userId, id }: NewEntryMessage,
  { valueBytesMax }: Config,
  prefix: string,
): NewEntry => ({
  data: json(dataJson, `${prefix}data_json`, valueBytesMax),
  userId: userId === undefined ? undefined : check.userId(userId, `${prefix}user_id`),
  id: id === undefined ? undefined : newId(id, `${prefix}id`),
});

function checkIds(entries: NewEntry[], prefix: string): void {
  entries.forEach(({ id }, i) => {
    const before = entries[i - 1];
    if (!before) return;
    const refuse = (problem: string) =>
      new CortexError("INVALID_ENTRY_ID", {
        field: `${prefix}entries[${i}].id`,
        problem,
        ...(id && { got: idText(id) }),
      });
    if ((id === undefined) !== (before.id === undefined))
      throw refuse("is there for some entries only: either all have one, or none");
    if (id && before.id && !isAbove(id, before.id)) throw refuse("is not above the one before");
  });
}

/** The parts of an append that the fingerprint of its request covers. */
export const appendIdentity = ({ stream, entries, maxLen, maxAgeSeconds }: NewAppend) => [
  stream,
  entries,
  maxLen,
  maxAgeSeconds,
];

export interface AppendWrite extends Write, Omit<NewAppend, "kind" | "tenant"> {
  /** True if it needs no room for a key, as the stream is known to exist. If it does not, nothing is appended. */
  isKnown: boolean;
}

export function appendWrite(
  { kind: _, ...append }: NewAppend,
  {
    key,
    guard,
    isKnown = false,
  }: {
    key?: IdempotencyKey | undefined;
    guard?: Guard | undefined;
    isKnown?: boolean;
  } = {},
): AppendWrite {
  const { tenant, stream, entries } = append;
  const name = streamLockName(tenant, stream);
  const bytes = entries.reduce((sum, { data }) => sum + Buffer.byteLength(data), 0);
  // What has ids of its own is alone for its stream in a batch.
  const conflictKeys = [{ name, batchable: entries[0]?.id === undefined }];
  if (key) conflictKeys.push({ name: requestLockName(tenant, key.id), batchable: false });
  return {
    ...append,
    isKnown,
    idempotencyKey: key,
    guard,
    keys: [name],
    conflictKeys,
    weight: entries.length + Math.floor(bytes / 8192),
    adds: {
      keys: isKnown ? 0 : 1,
      bytes: bytes + entryBytes * entries.length,
      versions: 0,
      pending: 0,
    },
  };
}
