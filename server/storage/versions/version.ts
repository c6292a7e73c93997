// A version of an immutable record: its row and its message.
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type {
  Record as RecordMessage,
  Version as VersionMessage,
} from "../../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";

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

export const isRecord = (sql: Sql, tenant: string, type: string, id: string): Fragment =>
  sql`h.tenant = ${tenant} and h.type = ${type} and h.id = ${id}`;

/** The versions `v` of the record `h` that are kept. */
export const retained = (sql: Sql): Fragment => sql`
  v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version >= h.first_version and v.data is not null`;

/** The current version `v` of the record `h`. */
export const current = (sql: Sql): Fragment => sql`
  v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version and v.data is not null`;

/**
 * The last version of `h` that is kept and was stored at the time or before, whether or not its content is erased; the one before the first that is
 * kept where there is none. Versions have no gaps and their times increase, so it halves its way: 14 looks among 10 000, and no second index for
 * each store to write.
 */
export const versionAt = (sql: Sql, time: Date): Fragment => sql`(
  with recursive bound (low, high) as (
    select h.first_version - 1, h.version
    union all
    select case when v.created_at <= ${time} then v.version else low end, case when v.created_at <= ${time} then high else v.version - 1 end
    from bound
    join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = (low + high + 1) / 2
    where low < high
  )
  select low from bound where low = high)`;

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
