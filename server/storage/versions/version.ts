// A version of a record: its row and its message. Statements name the table `immutable` as `h`,
// `immutable_version` as `v`.
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type {
  Record as RecordMessage,
  Version as VersionMessage,
} from "../../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { RecordName } from "./name.js";

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
  /** True if data and metadata are not known any more: see omitted.ts. */
  omitted?: boolean;
}

/** A record with its current version. */
export interface RecordRow extends VersionRow {
  type: string;
  id: string;
  first_version: number;
  first_created_at: Date;
}

type Stamps = "created_at" | "first_created_at" | "digest" | "salt";

/** A version before the commit of its transaction, which decides its time and with it the digest. */
export type Unstamped<Row> = Omit<Row, Stamps> & { [K in keyof Row & Stamps]?: Row[K] };

/** The columns of a VersionRow, of `v`. */
export const columns = (sql: Sql): Fragment => sql`
  v.version, v.data::text as data, v.user_id, v.metadata::text as metadata, v.created_at, v.agent_id, v.principal, v.request_id,
  encode(v.digest, 'hex') as digest, v.salt`;

/** About how many bytes the version takes on the wire. */
export const wireSize = (sql: Sql): Fragment =>
  sql`(coalesce(v.bytes, 0) + octet_length(v.metadata::text) + 600)`;

/** The record `h` of that name. */
export const isRecord = (sql: Sql, { tenant, type, id }: RecordName): Fragment =>
  sql`h.tenant = ${tenant} and h.type = ${type} and h.id = ${id}`;

/** The versions `v` of the record `h` that are kept, without those erased with a user. */
export const retained = (sql: Sql): Fragment => sql`
  v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version >= h.first_version and v.data is not null`;

/** The current version `v` of the record `h`. */
export const current = (sql: Sql): Fragment => sql`
  v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version and v.data is not null`;

/**
 * The number of the last version of `h` that was stored at `time` or before, also if it was erased. If no
 * such version is kept, the number before the first kept version. Versions have no gaps and their times
 * increase, so a binary search finds it: 14 lookups among 10 000 versions, without a second index that each
 * store would have to write.
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

export function toVersion(row: Unstamped<VersionRow>): VersionMessage {
  return {
    $typeName: "cortex.immutable.v1.Version",
    version: row.version,
    dataJson: row.data,
    metadataJson: row.metadata,
    digest: row.digest ?? "",
    salt: row.salt ?? "",
    ...(row.created_at && { createTime: timestampFromDate(row.created_at) }),
    contentOmitted: row.omitted ?? false,
    ...(row.user_id !== null && { userId: row.user_id }),
    ...(row.agent_id !== null && { agentId: row.agent_id }),
    ...(row.principal !== null && { principal: row.principal }),
    ...(row.request_id !== null && { requestId: row.request_id }),
  };
}

/** A record with the previous versions to show, oldest first. */
export function toRecord(row: Unstamped<RecordRow>, previous: VersionRow[] = []): RecordMessage {
  return {
    $typeName: "cortex.immutable.v1.Record",
    type: row.type,
    id: row.id,
    current: toVersion(row),
    ...(row.first_created_at && { firstCreateTime: timestampFromDate(row.first_created_at) }),
    previousVersions: previous.map(toVersion),
    hasMoreVersions: row.first_version < (previous[0]?.version ?? row.version),
  };
}
