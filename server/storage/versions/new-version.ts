// A version to be stored: parsed from a message, or made by the server itself.
import type { Message } from "@bufbuild/protobuf";
import type { StoreOperation } from "../../../gen/cortex/immutable/v1/immutable_pb.js";
import { versionsToKeep } from "../../config/retention.js";
import { CortexError } from "../../errors/reasons.js";
import type { Call, Caller } from "../../grpc/call.js";
import type { SharedState } from "../../grpc/context.js";
import type { Language } from "../../search/language.js";
import { parseExactly } from "../../validation/exact-json.js";
import * as check from "../../validation/fields.js";
import { data, recordMetadata } from "../../validation/json.js";
import { ownName } from "../../validation/scope.js";
import { idempotencyKey } from "../idempotency.js";
import { requestLockName } from "../locks.js";
import type { Write } from "../write-path.js";
import { isReserved, recordLockName } from "./name.js";
import { type SearchInput, searchInput } from "./search-input.js";

export interface NewVersion extends Write {
  kind: "store";
  type: string;
  id: string;
  data: string;
  /** undefined: as in the version before; null: none. */
  userId: string | null | undefined;
  metadata: string | null | undefined;
  ifVersion: number | undefined;
  agentId: string | undefined;
  principal: string | undefined;
  /** The request id, which the version shows. */
  requestId: string | undefined;
  /** How many versions are kept; -1: all. */
  keep: number;
  dictionaries: Language["dictionaries"];
  search: SearchInput;
}

/** The fields that StoreRequest and StoreOperation share. */
type StoreMessage = Omit<StoreOperation, keyof Message>;

interface Context {
  requestId: string | undefined;
  /** The prefix of field names in errors. */
  prefix?: string;
}

/** Parses the version that a caller asks to store. */
export function parseStore(
  { caller, server }: Call,
  message: StoreMessage,
  context: Context,
): NewVersion {
  if (isReserved(message.type))
    throw new CortexError("INVALID_TYPE", {
      field: `${context.prefix ?? ""}type`,
      problem: `begins with ${check.reservedTypePrefix}, which is for the server's own records`,
    });
  return newVersion(caller, server, message, context);
}

/** The author of a version. */
export type Author = Pick<Caller, "tenant" | "agent" | "principal">;

export function newVersion(
  { tenant, agent, principal }: Author,
  { config, language }: Pick<SharedState, "config" | "language">,
  message: StoreMessage,
  { requestId, prefix = "" }: Context,
): NewVersion {
  const { userId, clearUserId, metadataJson, clearMetadata, ifVersion } = message;
  const field = (name: string) => prefix + name;
  const type = check.type(message.type, field("type"));
  const id = check.id(message.id, field("id"));
  check.exclusive(field("clear_user_id"), clearUserId, field("user_id"), userId !== undefined);
  check.exclusive(
    field("clear_metadata"),
    clearMetadata,
    field("metadata_json"),
    metadataJson !== undefined,
  );
  const object = data(message.dataJson, field("data_json"), config.valueBytesMax);
  const metadata = clearMetadata
    ? {}
    : metadataJson === undefined
      ? undefined
      : exactMetadata(metadataJson, field("metadata_json"));
  const lockName = recordLockName(tenant, type, id);
  const bytes = Buffer.byteLength(message.dataJson) + Buffer.byteLength(metadataJson ?? "{}");
  return {
    kind: "store",
    tenant,
    type,
    id,
    data: message.dataJson,
    userId: clearUserId
      ? null
      : userId === undefined
        ? undefined
        : check.userId(userId, field("user_id")),
    metadata: clearMetadata ? null : metadataJson,
    ifVersion:
      ifVersion === undefined ? undefined : check.expectedVersion(ifVersion, field("if_version")),
    agentId: agent,
    principal,
    requestId,
    keep: versionsToKeep(config.retention, ownName(type)),
    dictionaries: language.dictionaries,
    search: searchInput(parseExactly(message.dataJson, object), metadata),
    idempotencyKey: undefined,
    keys: [lockName],
    conflictKeys: [{ name: lockName, batchable: false }],
    weight: 1 + Math.floor(message.dataJson.length / 4096),
    adds: { keys: 0, bytes, versions: 1, pending: 0 },
  };
}

const exactMetadata = (json: string, field: string) =>
  parseExactly(json, recordMetadata(json, field));

/** Adds the idempotency key under which the reply is stored; no change if there is no request id. */
export function withIdempotencyKey(version: NewVersion): NewVersion {
  const { tenant, requestId, conflictKeys } = version;
  const key = idempotencyKey(requestId, "Immutable/Store", identityOf(version));
  if (!key) return version;
  const name = requestLockName(tenant, key.id);
  return {
    ...version,
    idempotencyKey: key,
    conflictKeys: [...conflictKeys, { name, batchable: false }],
  };
}

/** The parts of the request that its fingerprint covers. */
export const identityOf = ({ type, id, data, userId, metadata, ifVersion }: NewVersion) => ({
  type,
  id,
  data,
  userId, // JSON keeps null, which clears the user, and drops undefined
  metadata,
  ifVersion,
});
