// Everything that is linked to a user, as lines of JSON. Stored JSON is given unchanged, except that line
// breaks between its tokens become spaces.
import type { ExportRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import {
  byteWindow,
  inOrder,
  messageRowsMax,
  type PageRow,
  pages,
  sizedRow,
} from "../storage/keyset.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

interface ExportRow extends PageRow {
  line: string;
  first: string;
  second: string;
  third: number;
}

export async function* exportUser(request: ExportRequest, { caller: { tenant }, db }: Call) {
  const id = check.userId(request.id, "id");
  const [user] = await db.scans<{ line: string }>(
    (sql) => sql`
      select json_build_object('kind', 'user', 'id', u.id, 'profile', u.profile, 'createdAt', ${iso(sql, sql`u.created_at`)},
        'updatedAt', ${iso(sql, sql`u.updated_at`)})::text as line
      from users u where u.tenant = ${tenant} and u.id = ${id}`,
  );
  if (!user) throw new CortexError("USER_NOT_FOUND", { user_id: id });
  yield { lines: [oneLine(user.line)] };
  for (const table of [entries, versions, claims, streamEntries, changes]) {
    const messages = pages<ExportRow>({
      statementRowsMax: messageRowsMax,
      positionOf: ({ first, second, third }) => [first, second, `${third}`],
      fetch: ({ after, limit }) => {
        const [first = "", second = "", third = "0"] = after ?? [];
        const position: Position = [first, second, Number(third)];
        return db.scans(
          (sql) => sql`
            with page as (${table.rows(sql, tenant, id, position)} limit ${limit}),
            r as (${byteWindow(sql, pageBytesMax)})
            select ${table.line(sql)}::text as line, found, first, second, third from r order by place`,
        );
      },
    });
    for await (const { rows } of messages)
      if (rows.length > 0) yield { lines: rows.map(({ line }) => oneLine(line)) };
  }
}

type Position = [first: string, second: string, third: number];

/** A value may have been stored with line breaks between its tokens. Within its texts they are escaped. */
const oneLine = (line: string): string => line.replace(/[\r\n]/g, " ");

const iso = (sql: Sql, time: Fragment): Fragment =>
  sql`to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

interface ExportedTable {
  /** The rows after a position, with `place` and `bytes_before`. */
  rows: (sql: Sql, tenant: string, id: string, after: Position) => Fragment;
  /** The line of a row `r`. It is made only for rows that fit the page. */
  line: (sql: Sql) => Fragment;
}

const overheadBytes = 600; // names, times and numbers of a line

const entries: ExportedTable = {
  rows: (sql, tenant, id, [namespace, key]) => sql`
    select m.namespace as first, m.key as second, 0 as third,
      ${sizedRow(sql, sql`(m.bytes + octet_length(m.metadata::text) + ${overheadBytes}::int)`)},
      m.value, m.metadata, m.created_at, m.updated_at, m.expire_at, m.agent_id, m.principal, a.count, a.accessed_at
    from mutable m
    left join mutable_access a on a.tenant = m.tenant and a.namespace = m.namespace and a.key = m.key
      and a.created_revision = m.created_revision
    where m.tenant = ${tenant} and m.user_id = ${id} and (m.namespace, m.key) > (${namespace}, ${key})
    ${inOrder(sql, sql`m.namespace, m.key`)} order by m.namespace, m.key`,
  line: (sql) => sql`
    json_build_object('kind', 'mutable', 'namespace', r.first, 'key', r.second, 'value', r.value, 'metadata', r.metadata,
      'createdAt', ${iso(sql, sql`r.created_at`)}, 'updatedAt', ${iso(sql, sql`r.updated_at`)}, 'expiresAt', ${iso(sql, sql`r.expire_at`)},
      'accessCount', coalesce(r.count, 0), 'lastAccessed', ${iso(sql, sql`r.accessed_at`)}, 'updatedBy', r.agent_id,
      'principal', r.principal)`,
};

const versions: ExportedTable = {
  rows: (sql, tenant, id, [type, record, version]) => sql`
    select v.type as first, v.id as second, v.version as third,
      ${sizedRow(sql, sql`(v.bytes + octet_length(v.metadata::text) + ${overheadBytes}::int)`)},
      v.data, v.metadata, v.created_at, v.agent_id, v.principal
    from immutable_version v
    where v.tenant = ${tenant} and v.user_id = ${id} and (v.type, v.id, v.version) > (${type}, ${record}, ${version}::int)
    ${inOrder(sql, sql`v.type, v.id, v.version`)} order by v.type, v.id, v.version`,
  line: (sql) => sql`
    json_build_object('kind', 'immutable', 'type', r.first, 'id', r.second, 'version', r.third, 'data', r.data, 'metadata', r.metadata,
      'createdAt', ${iso(sql, sql`r.created_at`)}, 'agentId', r.agent_id, 'principal', r.principal)`,
};

const claims: ExportedTable = {
  rows: (sql, tenant, id, [name]) => sql`
    select c.name as first, '' as second, 0 as third, ${sizedRow(sql, sql`(c.bytes + ${overheadBytes}::int)`)},
      c.owner, c.value, c.acquired_at, c.expires_at, c.agent_id
    from claim c where c.tenant = ${tenant} and c.user_id = ${id} and c.name > ${name}
    ${inOrder(sql, sql`c.name`)} order by c.name`,
  line: (sql) => sql`
    json_build_object('kind', 'claim', 'name', r.first, 'owner', r.owner, 'value', r.value,
      'acquiredAt', ${iso(sql, sql`r.acquired_at`)}, 'expiresAt', ${iso(sql, sql`r.expires_at`)}, 'agentId', r.agent_id)`,
};

const streamEntries: ExportedTable = {
  rows: (sql, tenant, id, [stream, ms, seq]) => sql`
    select e.stream_id::text as first, e.ms::text as second, e.seq as third, ${sizedRow(sql, sql`(e.bytes + ${overheadBytes}::int)`)},
      s.name, e.data, e.agent_id
    from stream_entry e
    cross join lateral (select s.name from stream s where s.id = e.stream_id offset 0) as s -- none: it was deleted, and is to be swept
    where e.tenant = ${tenant} and e.user_id = ${id}
      and (e.stream_id, e.ms, e.seq) > (${stream || "0"}::bigint, ${ms || "0"}::bigint, ${seq}::bigint)
    ${inOrder(sql, sql`e.stream_id, e.ms, e.seq`)} order by e.stream_id, e.ms, e.seq`,
  line: (sql) => sql`
    json_build_object('kind', 'stream', 'stream', r.name, 'id', r.second || '-' || r.third, 'data', r.data, 'agentId', r.agent_id)`,
};

/** The log of changes: values that the user had, for as long as watches may ask for them. */
const changes: ExportedTable = {
  rows: (sql, tenant, id, [, , after]) => sql`
    select c.space as first, c.name as second, c.id as third, ${sizedRow(sql, sql`(c.bytes + ${overheadBytes}::int)`)},
      c.store, c.kind, case when c.user_id = ${id} then c.value end as value, c.revision, c.at, c.agent_id
    from change c
    where c.tenant = ${tenant} and (c.user_id = ${id} or c.old_user_id = ${id}) and c.id > ${after}::bigint
    ${inOrder(sql, sql`c.id`)} order by c.id`,
  line: (sql) => sql`
    json_build_object('kind', 'change', 'store', case r.store when 'entry' then 'mutable' when 'record' then 'immutable' else 'events' end, 'space', r.first, 'name', r.second,
      'change', r.kind, 'value', r.value, 'revision', r.revision::text, 'at', ${iso(sql, sql`r.at`)}, 'agentId', r.agent_id)`,
};
