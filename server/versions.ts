// A version of an immutable record: its row and its message.
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type {
  Record as RecordMessage,
  Version as VersionMessage,
} from "../gen/cortex/immutable/v1/immutable_pb.js";
import type { Fragment, Sql } from "./connection.js";

export interface VersionRow {
  version: number;
  data: string;
  user_id: string | null;
  metadata: string;
  created_at: Date;
  agent_id: string | null;
  principal: string | null;
  request_id: string | null;
  digest: string;
  salt: string;
}

/** A record with its current version. */
export interface RecordRow extends VersionRow {
  type: string;
  id: string;
  first_version: number;
  first_created_at: Date;
}

/** The columns of a VersionRow, of `v`. */
export const columns = (sql: Sql): Fragment => sql`
  v.version, v.data::text as data, v.user_id, v.metadata::text as metadata, v.created_at, v.agent_id, v.principal, v.request_id,
  encode(v.digest, 'hex') as digest, v.salt`;

/** About what a version takes on the wire. */
export const size = (sql: Sql): Fragment =>
  sql`(coalesce(v.bytes, 0) + octet_length(v.metadata::text) + 600)`;

export const ofRecord = (sql: Sql, tenant: string, type: string, id: string): Fragment =>
  sql`h.tenant = ${tenant} and h.type = ${type} and h.id = ${id}`;

/** The versions `v` of the record `h` that are kept. */
export const kept = (sql: Sql): Fragment => sql`
  v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version >= h.first_version and v.data is not null`;

/** The current version `v` of the record `h`. */
export const current = (sql: Sql): Fragment => sql`
  v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version and v.data is not null`;

export function toVersion(row: VersionRow): VersionMessage {
  return {
    $typeName: "cortex.immutable.v1.Version",
    version: row.version,
    dataJson: row.data,
    metadataJson: row.metadata,
    createTime: timestampFromDate(row.created_at),
    digest: row.digest,
    salt: row.salt,
    ...(row.user_id !== null && { userId: row.user_id }),
    ...(row.agent_id !== null && { agentId: row.agent_id }),
    ...(row.principal !== null && { principal: row.principal }),
    ...(row.request_id !== null && { requestId: row.request_id }),
  };
}

/** A record with those of the versions before that are to be shown, ascending. */
export function toRecord(row: RecordRow, past: VersionRow[] = []): RecordMessage {
  return {
    $typeName: "cortex.immutable.v1.Record",
    type: row.type,
    id: row.id,
    current: toVersion(row),
    firstCreateTime: timestampFromDate(row.first_created_at),
    previousVersions: past.map(toVersion),
    hasMoreVersions: row.first_version < (past[0]?.version ?? row.version),
  };
}
