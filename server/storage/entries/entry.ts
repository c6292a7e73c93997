// An entry: its name, its row, its message, and the condition that it has not expired. Every statement names
// the table `mutable` as `m`.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Record as RecordMessage } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import * as check from "../../validation/fields.js";

export interface EntryKey {
  tenant: string;
  namespace: string;
  key: string;
}

export function parseKey(
  tenant: string,
  { namespace, key }: { namespace: string; key: string },
  prefix = "",
): EntryKey {
  return {
    tenant,
    namespace: check.namespace(namespace, `${prefix}namespace`),
    key: check.key(key, `${prefix}key`),
  };
}

/** The entry's name in KeyLocks. No part of a name holds a control character, so names are distinct. */
export const entryName = ({ tenant, namespace, key }: EntryKey): string =>
  `${tenant}\0${namespace}\0${key}`;

/** The name in KeyLocks of a namespace. A transaction that owns it lets nobody else create keys there. */
export const namespaceName = (tenant: string, namespace: string): string =>
  `${tenant}\0${namespace}`;

/** The name in KeyLocks of the lists of a namespace in transactions: of those that hold no lock, one goes on. */
export const listLockName = (tenant: string, namespace: string): string =>
  `${namespaceName(tenant, namespace)}\0`;

export interface EntryRow {
  namespace: string;
  key: string;
  value: string;
  user_id: string | null;
  metadata: string;
  created_at: Date;
  updated_at: Date;
  expire_at: Date | null;
  revision: string;
  agent_id: string | null;
  principal: string | null;
  access_count: string;
  accessed_at: Date | null;
  /** True if the value and the metadata are not known any more: see omitted.ts. */
  omitted?: boolean;
}

/** The columns of an EntryRow, of `m` joined with `a`. */
export const columns = (sql: Sql): Fragment => sql`
  m.namespace, m.key, m.value::text as value, m.user_id, m.metadata::text as metadata,
  m.created_at, m.updated_at, m.expire_at, m.revision, m.agent_id, m.principal,
  coalesce(a.count, 0) as access_count, a.accessed_at`;

/**
 * The access statistics `a` of `m`, counted since the entry was created. Those of an earlier entry under the
 * same key do not match.
 */
export const accessOf = (sql: Sql): Fragment => sql`
  a.tenant = m.tenant and a.namespace = m.namespace and a.key = m.key and a.created_revision = m.created_revision`;

export const joinAccess = (sql: Sql): Fragment =>
  sql`left join mutable_access a on ${accessOf(sql)}`;

/**
 * True if the entry has not expired, as of the start of the statement. An expired entry is absent, even
 * before the sweep deletes it.
 */
export const live = (sql: Sql): Fragment =>
  sql`(m.expire_at is null or m.expire_at > statement_timestamp())`;

export const isEntry = (sql: Sql, { tenant, namespace, key }: EntryKey): Fragment =>
  sql`m.tenant = ${tenant} and m.namespace = ${namespace} and m.key = ${key} and ${live(sql)}`;

/** About how many bytes the entry takes on the wire. */
export const wireSize = (sql: Sql): Fragment =>
  sql`(m.bytes + octet_length(m.metadata::text) + octet_length(m.key) + 200)`;

/** The entry as a message with every field set, so that encoding need not copy it. */
export function toRecord(row: EntryRow): RecordMessage {
  return {
    $typeName: "cortex.mutable.v1.Record",
    namespace: row.namespace,
    key: row.key,
    valueJson: row.omitted ? "" : row.value,
    metadataJson: row.omitted ? "" : row.metadata,
    createTime: toTimestamp(row.created_at),
    updateTime: toTimestamp(row.updated_at),
    accessCount: BigInt(row.access_count),
    revision: row.revision,
    valueOmitted: row.omitted ?? false,
    ...(row.user_id !== null && { userId: row.user_id }),
    ...(row.agent_id !== null && { updatedBy: row.agent_id }),
    ...(row.principal !== null && { principal: row.principal }),
    ...(row.accessed_at && { lastAccessTime: toTimestamp(row.accessed_at) }),
    ...(row.expire_at && { expireTime: toTimestamp(row.expire_at) }),
  };
}

function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: BigInt(seconds),
    nanos: (ms - seconds * 1000) * 1_000_000,
  };
}
