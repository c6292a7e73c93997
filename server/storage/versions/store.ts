// How a version is stored: by ImmutableStore.Store, together with whatever other calls there are, and by Commit and Transact in their
// transaction. One statement, of distinct records.
import type { Message } from "@bufbuild/protobuf";
import type { StoreOperation } from "../../../gen/cortex/immutable/v1/immutable_pb.js";
import { versionsToKeep } from "../../config/retention.js";
import { CortexError, codeOf } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import type { ConflictKey } from "../../runtime/group-commit.js";
import type { Amounts } from "../../runtime/quotas.js";
import { comparable, type Searchable, searchable } from "../../search/text.js";
import * as check from "../../validation/fields.js";
import { type IdempotencyKey, idempotencyKey, type StoredReply } from "../idempotency.js";
import { type Cells, statement } from "./statement.js";
import type { RecordRow } from "./version.js";

/** A version to be stored. */
export interface NewVersion {
  kind: "store";
  tenant: string;
  type: string;
  id: string;
  data: string;
  /** undefined: as in the version before; null: none. */
  userId: string | null | undefined;
  metadata: string | null | undefined;
  ifVersion: number | undefined;
  agentId: string | undefined;
  principal: string | undefined;
  /** The id it is requested under, and the key its reply is kept under by itself. */
  requestId: string | undefined;
  request: IdempotencyKey | undefined;
  /** How many versions are kept; -1: all. */
  keep: number;
  language: string;
  search: Searchable & { metadata: Searchable | undefined; labels: string | undefined };
  /** Its record and its request id, as names in a batch and in the memory of the server. */
  name: string;
  touches: ConflictKey[];
  weight: number;
}

/** The record's name among all that can be locked; no other has an empty second part. */
export const recordLockName = (tenant: string, type: string, id: string): string =>
  `${tenant}\0\0${type}\0${id}`;

/** The fields that StoreRequest and StoreOperation share. */
type StoreMessage = Omit<StoreOperation, keyof Message>;

/** What the server itself stores: see audit.ts. */
export const auditType = "audit-log";
export const auditIdPrefix = "cortex/";

/** Nobody but the server writes its own records. */
function checkNotAudit({ type, id }: { type: string; id: string }, field: string): void {
  if (type !== auditType || !id.startsWith(auditIdPrefix)) return;
  const problem = `begins with ${auditIdPrefix}, which is for what the server itself writes to its ${auditType}`;
  throw new CortexError("INVALID_ID", { field, problem });
}

/** A version that a caller asks to store. */
export function parseStore(
  call: Call,
  message: StoreMessage,
  requestId: string | undefined,
  prefix = "",
): NewVersion {
  checkNotAudit(message, `${prefix}id`);
  return newVersion(call, message, requestId, prefix);
}

/** Who stores, and where. */
export type Author = Pick<Call, "tenant" | "agent" | "principal" | "config" | "language">;

export function newVersion(
  { tenant, agent, principal, config, language }: Author,
  message: StoreMessage,
  requestId: string | undefined,
  prefix = "",
): NewVersion {
  const { userId, clearUserId, metadataJson, clearMetadata, ifVersion } = message;
  const field = (name: string) => prefix + name;
  const type = check.type(message.type, field("type"));
  const id = check.id(message.id, field("id"));
  check.exclusive([field("clear_user_id"), clearUserId], [field("user_id"), userId !== undefined]);
  check.exclusive(
    [field("clear_metadata"), clearMetadata],
    [field("metadata_json"), metadataJson !== undefined],
  );
  const data = check.data(message.dataJson, field("data_json"), config.valueBytesMax);
  const metadata = clearMetadata
    ? {}
    : metadataJson === undefined
      ? undefined
      : check.recordMetadata(metadataJson, field("metadata_json"));
  const name = recordLockName(tenant, type, id);
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
    request: undefined,
    keep: versionsToKeep(config.retention, type),
    language: language.name,
    search: {
      ...searchable(data),
      metadata: metadata && searchable(metadata),
      labels: metadata && comparable(metadata),
    },
    name,
    touches: [{ name, batchable: false }],
    weight: 1 + Math.floor(message.dataJson.length / 4096),
  };
}

/** What versions add to what their tenant stores. (One that pushes an old version out needs no more room, but is not known to.) */
export const storesAdd = (stores: readonly NewVersion[]): Amounts => {
  const bytesOf = ({ data, metadata }: NewVersion) =>
    Buffer.byteLength(data) + Buffer.byteLength(metadata ?? "{}");
  const bytes = stores.reduce((sum, store) => sum + bytesOf(store), 0);
  return { keys: 0, bytes, versions: stores.length };
};

/** The same store, whose reply is kept under its request id. */
export function keptOnce(store: NewVersion): NewVersion {
  const { tenant, requestId, touches } = store;
  const request = idempotencyKey(requestId, "Immutable/Store", asksOf(store));
  if (!request) return store;
  const touch = { name: `${tenant}\0${request.id}`, mixes: false };
  return { ...store, request, touches: [...touches, touch] };
}

/** What tells a store from another under the same request id. */
export const asksOf = ({ type, id, data, userId, metadata, ifVersion }: NewVersion) => ({
  type,
  id,
  data,
  userId, // null clears, undefined is not there
  metadata,
  ifVersion,
});

export type Stored =
  | { row: RecordRow }
  | { refusal: { reason: "VERSION_MISMATCH" | "USER_NOT_FOUND"; version: number } }
  | { repeated: StoredReply }
  | "locked";

const attemptsMax = 10;

// A rival created the record or committed the same request id (23505), or deleted a user (23503), after the statement had looked: all
// of it was rolled back, and the next look sees what the rival did.
const rivals = new Set(["23505", "23503"]);

/** Stores versions of distinct records; what became of each, in their order. Without `wait` a locked record is "locked". */
export async function storeAll(
  run: Run,
  stores: NewVersion[],
  { wait, attempts = attemptsMax }: { wait: boolean; attempts?: number },
): Promise<Stored[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      const rows = await run<Cells>((sql) => statement(sql, stores, wait));
      return stores.map((store, i) => outcome(store, rows[i] as Cells));
    } catch (error) {
      const code = codeOf(error) ?? "";
      if (!wait && code === "55P03" && stores.length === 1) return ["locked"]; // somebody is creating the record
      if (!rivals.has(code) || attempt >= attempts) throw error;
    }
  }
}

function outcome(store: NewVersion, row: Cells): Stored {
  if (row.repeats !== null) return { repeated: { fingerprint: row.repeats, reply: row.reply } };
  if (row.refusal === "LOCKED") return "locked";
  if (row.refusal === "FOREIGN") throw new Error("a statement found the row of another tenant");
  if (row.refusal !== null) return { refusal: { reason: row.refusal, version: row.version } };
  return { row: rowIn(row.cells, store) };
}

/** The record that a reply keeps of a store; what the request itself says is not kept twice. */
export function rowIn(cells: string, { type, id, data, requestId }: NewVersion): RecordRow {
  const kept = JSON.parse(cells) as {
    version: number;
    first_version: number;
    created_at: number;
    first_created_at: number;
    user_id: string | null;
    agent_id: string | null;
    principal?: string | null;
    metadata: string;
    digest: string;
    salt: string;
  };
  return {
    ...kept,
    type,
    id,
    data,
    created_at: new Date(kept.created_at),
    first_created_at: new Date(kept.first_created_at),
    principal: kept.principal ?? null,
    request_id: requestId ?? null,
  };
}

/** What a refusal tells the caller. */
export function refusalOf(
  { type, id, ifVersion, userId }: NewVersion,
  { reason, version }: { reason: "VERSION_MISMATCH" | "USER_NOT_FOUND"; version: number },
): CortexError {
  if (reason === "USER_NOT_FOUND") return new CortexError(reason, { user_id: userId ?? "" });
  return new CortexError(reason, {
    type,
    id,
    expected_version: `${ifVersion}`,
    current_version: `${version}`,
  });
}
