// All that is linked to a user, as lines of JSON. Nothing is held between two messages: each chunk is a statement that goes on after the
// last row, as in the lists. What was stored is given to the letter, but for line breaks between its tokens.
import type { ExportRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import * as check from "../validation/fields.js";

const linesMax = 100;
const linesBytesMax = 1024 * 1024;

interface Line {
  line: string;
  found: string;
  first: string;
  second: string;
  third: number;
}

export async function* exportUser(request: ExportRequest, { tenant, bulk }: Call) {
  const id = check.userId(request.id, "id");
  const [user] = await bulk<{ line: string }>(
    (sql) => sql`
      select json_build_object('kind', 'user', 'id', u.id, 'profile', u.profile, 'createdAt', ${iso(sql, sql`u.created_at`)},
        'updatedAt', ${iso(sql, sql`u.updated_at`)})::text as line
      from users u where u.tenant = ${tenant} and u.id = ${id}`,
  );
  if (!user) throw new CortexError("USER_NOT_FOUND", { user_id: id });
  yield { lines: [oneLine(user.line)] };
  for (const part of [entries, versions]) {
    let after: Position = ["", "", 0];
    for (let more = true; more; ) {
      const rows = await bulk<Line>((sql) =>
        chunk(sql, part.rows(sql, tenant, id, after), part.line(sql)),
      );
      const last = rows.at(-1);
      if (last) after = [last.first, last.second, last.third];
      more = Number(last?.found ?? 0) > rows.length;
      if (rows.length > 0) yield { lines: rows.map(({ line }) => oneLine(line)) };
    }
  }
}

type Position = [first: string, second: string, third: number];

/** Values may have been stored with line breaks between their tokens; within their texts there are none. */
const oneLine = (line: string): string => line.replace(/[\r\n]/g, " ");

const iso = (sql: Sql, time: Fragment): Fragment =>
  sql`to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** What is exported, table by table: the rows that follow a position, with their size, and the line that is made of one. */
interface Part {
  rows: (sql: Sql, tenant: string, id: string, after: Position) => Fragment;
  line: (sql: Sql) => Fragment;
}

/** As many of the rows as fit a message; the first always does. Lines are made of these alone. */
const chunk = (sql: Sql, rows: Fragment, line: Fragment): Fragment => sql`
  with row as materialized (${rows} limit ${linesMax + 1}),
  sized as materialized (
    select row.*, count(*) over () as found, row_number() over place as number, sum(size) over place - size as bytes_before
    from row window place as (order by first, second, third)
  )
  select ${line}::text as line, found, first, second, third from sized r
  where bytes_before < ${linesBytesMax} and number <= ${linesMax} order by number`;

const overheadBytes = 600; // names, times and numbers

const entries: Part = {
  rows: (sql, tenant, id, [namespace, key]) => sql`
    select m.namespace as first, m.key as second, 0 as third, m.bytes + octet_length(m.metadata::text) + ${overheadBytes}::int as size,
      m.value, m.metadata, m.created_at, m.updated_at, m.expire_at, m.agent_id, m.principal, a.count, a.accessed_at
    from mutable m
    left join mutable_access a on a.tenant = m.tenant and a.namespace = m.namespace and a.key = m.key
      and a.created_revision = m.created_revision
    where m.tenant = ${tenant} and m.user_id = ${id} and (m.namespace, m.key) > (${namespace}, ${key})
    order by m.namespace, m.key`,
  line: (sql) => sql`
    json_build_object('kind', 'mutable', 'namespace', r.first, 'key', r.second, 'value', r.value, 'metadata', r.metadata,
      'createdAt', ${iso(sql, sql`r.created_at`)}, 'updatedAt', ${iso(sql, sql`r.updated_at`)}, 'expiresAt', ${iso(sql, sql`r.expire_at`)},
      'accessCount', coalesce(r.count, 0), 'lastAccessed', ${iso(sql, sql`r.accessed_at`)}, 'updatedBy', r.agent_id,
      'principal', r.principal)`,
};

const versions: Part = {
  rows: (sql, tenant, id, [type, record, version]) => sql`
    select v.type as first, v.id as second, v.version as third, v.bytes + octet_length(v.metadata::text) + ${overheadBytes}::int as size,
      v.data, v.metadata, v.created_at, v.agent_id, v.principal
    from immutable_version v
    where v.tenant = ${tenant} and v.user_id = ${id} and (v.type, v.id, v.version) > (${type}, ${record}, ${version}::int)
    order by v.type, v.id, v.version`,
  line: (sql) => sql`
    json_build_object('kind', 'immutable', 'type', r.first, 'id', r.second, 'version', r.third, 'data', r.data, 'metadata', r.metadata,
      'createdAt', ${iso(sql, sql`r.created_at`)}, 'agentId', r.agent_id, 'principal', r.principal)`,
};
