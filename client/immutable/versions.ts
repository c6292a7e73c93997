// Immutable records as the caller sees them, and the messages of records to store.
import type { Message } from "@bufbuild/protobuf";
import type {
  Record as RecordMessage,
  StoreOperation,
  Version as VersionMessage,
} from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { toDate } from "../core/codec.js";
import { type Json, objectToJson } from "../core/json.js";
import { rejectUnknown, text, userIdText, whole } from "../core/validate.js";

/** The entry that `store` takes. */
export interface ImmutableEntry<T = Record<string, any>> {
  /** The kind of record: 1 to 256 bytes. Types that begin with `$cortex/` are reserved for the server. */
  type: string;
  /** The id of the record: 1 to 1024 bytes. */
  id: string;
  /** Any JSON object up to 1 MiB; a `Date` in it is stored as its ISO string. */
  data: T;
  /** The user the version belongs to; must exist. Undefined: as in the version before. null: nobody. */
  userId?: string | null | undefined;
  /** Any JSON object up to 64 KiB. Undefined: as in the version before. null: `{}`. */
  metadata?: ImmutableMetadata | null | undefined;
}

export interface ImmutableMetadata {
  publishedBy?: string | undefined;
  tags?: string[] | undefined;
  /** 0 to 100. */
  importance?: number | undefined;
  [key: string]: any;
}

/** The fields of every version. */
interface Said<T> {
  version: number;
  /** An integer that a number cannot hold is a bigint. */
  data: T;
  /** The user the version belongs to; undefined: none. */
  userId?: string;
  /** `{}` if none was given. */
  metadata: any;
  /** When this version was stored. */
  createdAt: Date;
  /** The agent that stored it (`agentId` of its client); undefined: the client had none. */
  agentId?: string;
  /** The principal that stored it, from the credentials; undefined: there were none. */
  principal?: string;
  /** The request id it was stored under. */
  requestId?: string;
  /**
   * SHA-256 over the digest of the version before and the content of this one, in hexadecimal: see
   * `verifyHistory`.
   */
  digest: string;
  /** Random text that is a part of the digested content. */
  salt: string;
  /**
   * True only for a store that was repeated, for example because its reply was lost, if data or metadata have
   * more than 4 KiB and the version is no longer kept. Then those of `data` and `metadata` that are not known
   * are undefined. The version was stored once.
   */
  contentOmitted?: true;
}

/** One version of a record. */
export interface ImmutableVersion<T = any> extends Said<T> {
  /** When it was stored; the same as createdAt. */
  timestamp: Date;
}

/** A record with its current version. */
export interface ImmutableRecord<T = any> extends Said<T> {
  type: string;
  id: string;
  /** When version 1 was stored. */
  firstCreatedAt: Date;
  /**
   * The versions before the current one, ascending: the last 100 and about 1 MiB at most; `[]` if they were
   * left out.
   */
  previousVersions: ImmutableVersion<T>[];
  /** True if the server keeps more versions than these: `getHistory` and `historyStream` give them. */
  hasMoreVersions: boolean;
}

/** The names of the data and the metadata of a record for `Json`. */
interface RecordName {
  type: string;
  id: string;
}
export const dataName = ({ type, id }: RecordName) => `data\0${type}\0${id}`;
const metadataName = ({ type, id }: RecordName) => `metadata of a record\0${type}\0${id}`;

function contentOf<T>(
  { dataJson, metadataJson, contentOmitted }: VersionMessage,
  json: Json,
  name: RecordName | undefined,
): Pick<Said<T>, "data" | "metadata" | "contentOmitted"> {
  const has = (text: string) => !contentOmitted || text !== "";
  return {
    data: has(dataJson) ? json.parse<T>(dataJson, name && dataName(name)) : (undefined as T),
    metadata: has(metadataJson)
      ? json.parse(metadataJson, name && metadataName(name))
      : (undefined as never),
    ...(contentOmitted && { contentOmitted: true as const }),
  };
}

function said<T>(message: VersionMessage, json: Json, name?: RecordName): Said<T> {
  const { userId, agentId, principal, requestId } = message;
  return {
    version: message.version,
    ...contentOf<T>(message, json, name),
    ...(userId !== undefined && { userId }),
    createdAt: toDate(message.createTime),
    ...(agentId !== undefined && { agentId }),
    ...(principal !== undefined && { principal }),
    ...(requestId !== undefined && { requestId }),
    digest: message.digest,
    salt: message.salt,
  };
}

export function toVersion<T>(
  message: VersionMessage,
  json: Json,
  name?: RecordName,
): ImmutableVersion<T> {
  const version = said<T>(message, json, name);
  return { ...version, timestamp: version.createdAt };
}

export function toImmutableRecord<T>(
  message: RecordMessage | undefined,
  json: Json,
): ImmutableRecord<T> {
  if (!message?.current) throw new TypeError("the response holds no record");
  return {
    type: message.type,
    id: message.id,
    ...said<T>(message.current, json, message),
    firstCreatedAt: toDate(message.firstCreateTime),
    previousVersions: message.previousVersions.map((version) => toVersion<T>(version, json)),
    hasMoreVersions: message.hasMoreVersions,
  };
}

export const typeText = (value: unknown, field = "type") => text(value, field, "INVALID_TYPE");
export const idText = (value: unknown, field = "id") => text(value, field, "INVALID_ID");

const entryNames = ["type", "id", "data", "userId", "metadata"];

type Init = Omit<StoreOperation, keyof Message | OptionalName> &
  Partial<Pick<StoreOperation, OptionalName>>;
type OptionalName = Exclude<keyof StoreOperation, keyof Message | "type" | "id" | "dataJson">;

/** The entry as a message. */
export function storeInit(
  entry: ImmutableEntry<unknown>,
  ifVersion: number | undefined,
  json: Json,
  prefix = "",
): Init {
  rejectUnknown(entry, entryNames, "INVALID_OPTIONS", prefix ? prefix.slice(0, -1) : "store");
  const { type, id, data, userId, metadata } = entry;
  const dataBefore = json.textsAt(dataName(entry));
  return {
    type: typeText(type, `${prefix}type`),
    id: idText(id, `${prefix}id`),
    dataJson: objectToJson(data, `${prefix}data`, "INVALID_DATA", dataBefore),
    ...(userId === null && { clearUserId: true }),
    ...(userId !== null &&
      userId !== undefined && { userId: userIdText(userId, `${prefix}userId`) }),
    ...(metadata === null && { clearMetadata: true }),
    ...(metadata !== null &&
      metadata !== undefined && {
        metadataJson: objectToJson(
          typeof metadata === "object" ? withoutUndefined(metadata) : metadata,
          `${prefix}metadata`,
          "INVALID_METADATA",
          json.textsAt(metadataName(entry)),
        ),
      }),
    ...(ifVersion !== undefined && { ifVersion: whole(ifVersion, "ifVersion", "INVALID_VERSION") }),
  };
}

/** The metadata without the members that are undefined, as if they were not given. */
const withoutUndefined = (metadata: ImmutableMetadata): unknown => {
  const prototype: unknown = Object.getPrototypeOf(metadata);
  return prototype === Object.prototype || prototype === null
    ? Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== undefined))
    : metadata;
};
