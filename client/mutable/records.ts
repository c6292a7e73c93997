// Entries as the caller sees them: plain data, Dates and numbers.
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Record as RecordMessage } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { toDate } from "../core/codec.js";
import type { Json } from "../core/json.js";

/** An entry as stored. */
export interface MutableRecord<T = any> {
  namespace: string;
  key: string;
  /** An integer that a number cannot hold is a bigint. */
  value: T;
  /** The user the entry belongs to; undefined: none. */
  userId?: string;
  /** `{}` if none was given. */
  metadata?: Record<string, unknown>;
  createdAt: Date;
  updatedAt: Date;
  /** How often `get` read the entry since its creation. */
  accessCount: number;
  /** When `get` last read the entry; undefined: never. */
  lastAccessed?: Date;
  /** When the entry expires; undefined: never. */
  expiresAt?: Date;
  /** The agent that wrote it last (`agentId` of its client); undefined: the client had none. */
  updatedBy?: string;
  /** The principal that wrote it last, from the credentials; undefined: there were none. */
  principal?: string;
  /** The revision of the entry, for `ifRevision`. Every write gives a new one. */
  revision: string;
  /**
   * True only for a write that was repeated, for example because its reply was lost, if value and metadata have
   * more than 4 KiB together and the entry was written again in between. Then `value` and `metadata` are
   * undefined. The write was made once.
   */
  valueOmitted?: true;
}

export function toRecord<T>(message: RecordMessage | undefined, json: Json): MutableRecord<T> {
  if (!message) throw new TypeError("the response holds no record");
  const { userId, lastAccessTime, expireTime, updatedBy, principal } = message;
  return {
    namespace: message.namespace,
    key: message.key,
    ...contentOf<T>(message, json),
    ...(userId !== undefined && { userId }),
    createdAt: toDate(message.createTime),
    updatedAt: toDate(message.updateTime),
    accessCount: Number(message.accessCount),
    ...(updatedBy !== undefined && { updatedBy }),
    ...(principal !== undefined && { principal }),
    ...(lastAccessTime && { lastAccessed: timestampDate(lastAccessTime) }),
    ...(expireTime && { expiresAt: timestampDate(expireTime) }),
    revision: message.revision,
  };
}

function contentOf<T>(
  { namespace, key, valueJson, metadataJson, valueOmitted }: RecordMessage,
  json: Json,
): Pick<MutableRecord<T>, "value" | "metadata" | "valueOmitted"> {
  if (valueOmitted) return { value: undefined as T, valueOmitted: true };
  return {
    value: json.parse<T>(valueJson, valueName(namespace, key)),
    metadata: json.parse(metadataJson, metadataName(namespace, key)),
  };
}

/** The names of a value and of its metadata for `Json`. */
export const valueName = (namespace: string, key: string) => `value\0${namespace}\0${key}`;
export const metadataName = (namespace: string, key: string) => `metadata\0${namespace}\0${key}`;
