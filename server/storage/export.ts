// What is exported of a user or a scope, as lines of JSON. Stored JSON is given unchanged, except that line breaks
// between its tokens become spaces.
import type { Call } from "../grpc/call.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import { byteWindow, inOrder, messageRowsMax, type PageRow, pages, sizedRow } from "./keyset.js";

const pageBytesMax = 1024 * 1024;

interface ExportRow extends PageRow {
  line: string;
  first: string;
  second: string;
  third: number;
}

/** The last row of the page before; empty texts and 0 at the beginning. */
type Position = [first: string, second: string, third: number];

export interface ExportedTable {
  /** The rows of the tenant that match, after a position, with `place` and `bytes_before`. */
  rows: (sql: Sql, tenant: string, matches: Fragment, after: Position) => Fragment;
  /** The line of a row `r`. It is made only for rows that fit the page. */
  line: (sql: Sql) => Fragment;
}

/** The rows of a table that match, page by page. */
export async function* exportRows(
  { caller: { tenant }, db }: Call,
  table: ExportedTable,
  matches: (sql: Sql) => Fragment,
): AsyncGenerator<{ lines: string[] }> {
  const messages = pages<ExportRow>({
    statementRowsMax: messageRowsMax,
    positionOf: ({ first, second, third }) => [first, second, `${third}`],
    fetch: ({ after, limit }) => {
      const [first = "", second = "", third = "0"] = after ?? [];
      const position: Position = [first, second, Number(third)];
      return db.scans(
        (sql) => sql`
          with page as (${table.rows(sql, tenant, matches(sql), position)} limit ${limit}),
          r as (${byteWindow(sql, pageBytesMax)})
          select ${table.line(sql)}::text as line, found, first, second, third from r order by place`,
      );
    },
  });
  for await (const { rows } of messages)
    if (rows.length > 0) yield { lines: rows.map(({ line }) => oneLine(line)) };
}

/** A value may have been stored with line breaks between its tokens. Within its texts they are escaped. */
export const oneLine = (line: string): string => line.replace(/[\r\n]/g, " ");

export const iso = (sql: Sql, time: Fragment): Fragment =>
  sql`to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

export const overheadBytes = 600; // names, times and numbers of a line

/** Entries `m`. */
export const entries: ExportedTable = {
  rows: (sql, tenant, matches, [namespace, key]) => sql`
    select m.namespace as first, m.key as second, 0 as third,
      ${sizedRow(sql, sql`(m.bytes + octet_length(m.metadata::text) + ${overheadBytes}::int)`)},
      m.value, m.metadata, m.created_at, m.updated_at, m.expire_at, m.agent_id, m.principal, m.user_id, a.count, a.accessed_at
    from mutable m
    left join mutable_access a on a.tenant = m.tenant and a.namespace = m.namespace and a.key = m.key
      and a.created_revision = m.created_revision
    where m.tenant = ${tenant} and ${matches} and (m.namespace, m.key) > (${namespace}, ${key})
    ${inOrder(sql, sql`m.namespace, m.key`)} order by m.namespace, m.key`,
  line: (sql) => sql`
    json_build_object('kind', 'mutable', 'scope', scope_path(r.first), 'namespace', own_name(r.first), 'key', r.second, 'value', r.value, 'metadata', r.metadata,
      'createdAt', ${iso(sql, sql`r.created_at`)}, 'updatedAt', ${iso(sql, sql`r.updated_at`)}, 'expiresAt', ${iso(sql, sql`r.expire_at`)},
      'accessCount', coalesce(r.count, 0), 'lastAccessed', ${iso(sql, sql`r.accessed_at`)}, 'updatedBy', r.agent_id,
      'principal', r.principal, 'userId', r.user_id)`,
};

/** Versions `v` of records. */
export const versions: ExportedTable = {
  rows: (sql, tenant, matches, [type, record, version]) => sql`
    select v.type as first, v.id as second, v.version as third,
      ${sizedRow(sql, sql`(v.bytes + octet_length(v.metadata::text) + ${overheadBytes}::int)`)},
      v.data, v.metadata, v.created_at, v.agent_id, v.principal, v.user_id
    from immutable_version v
    where v.tenant = ${tenant} and ${matches} and (v.type, v.id, v.version) > (${type}, ${record}, ${version}::int)
    ${inOrder(sql, sql`v.type, v.id, v.version`)} order by v.type, v.id, v.version`,
  line: (sql) => sql`
    json_build_object('kind', 'immutable', 'scope', scope_path(r.first), 'type', own_name(r.first), 'id', r.second, 'version', r.third, 'data', r.data, 'metadata', r.metadata,
      'createdAt', ${iso(sql, sql`r.created_at`)}, 'agentId', r.agent_id, 'principal', r.principal, 'userId', r.user_id)`,
};

/** Claims `c`. */
export const claims: ExportedTable = {
  rows: (sql, tenant, matches, [name]) => sql`
    select c.name as first, '' as second, 0 as third, ${sizedRow(sql, sql`(c.bytes + ${overheadBytes}::int)`)},
      c.owner, c.value, c.acquired_at, c.expires_at, c.agent_id, c.user_id
    from claim c where c.tenant = ${tenant} and ${matches} and c.name > ${name}
    ${inOrder(sql, sql`c.name`)} order by c.name`,
  line: (sql) => sql`
    json_build_object('kind', 'claim', 'scope', scope_path(r.first), 'name', own_name(r.first), 'owner', r.owner, 'value', r.value,
      'acquiredAt', ${iso(sql, sql`r.acquired_at`)}, 'expiresAt', ${iso(sql, sql`r.expires_at`)}, 'agentId', r.agent_id, 'userId', r.user_id)`,
};

/** Entries `e` of streams. */
export const streamEntries: ExportedTable = {
  rows: (sql, tenant, matches, [stream, ms, seq]) => sql`
    select e.stream_id::text as first, e.ms::text as second, e.seq as third, ${sizedRow(sql, sql`(e.bytes + ${overheadBytes}::int)`)},
      s.name, e.data, e.agent_id, e.user_id
    from stream_entry e
    cross join lateral (select s.name from stream s where s.id = e.stream_id offset 0) as s -- none: it was deleted, and is to be swept
    where e.tenant = ${tenant} and ${matches}
      and (e.stream_id, e.ms, e.seq) > (${stream || "0"}::bigint, ${ms || "0"}::bigint, ${seq}::bigint)
    ${inOrder(sql, sql`e.stream_id, e.ms, e.seq`)} order by e.stream_id, e.ms, e.seq`,
  line: (sql) => sql`
    json_build_object('kind', 'stream', 'scope', scope_path(r.name), 'stream', own_name(r.name), 'id', r.second || '-' || r.third, 'data', r.data,
      'agentId', r.agent_id, 'userId', r.user_id)`,
};
