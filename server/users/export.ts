// All that is linked to a user, as lines of JSON. Nothing is held between two messages: each chunk is a statement that goes on after the
// last row, as in the lists. What was stored is given to the letter, but for line breaks between its tokens.
import type { ExportRequest } from "../../gen/cortex/users/v1/users_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import type { Fragment, Sql } from "../connection.js";
import { CortexError } from "../errors.js";

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
      const rows = await bulk<Line>((sql) => chunk(sql, part(sql, tenant, id, after)));
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

/** As many of the rows as fit a message; the first always does. */
const chunk = (sql: Sql, rows: Fragment): Fragment => sql`
  with row as materialized (${rows} limit ${linesMax + 1}),
  sized as (
    select row.*, count(*) over () as found, row_number() over place as number, sum(bytes) over place - bytes as bytes_before
    from row window place as (order by first, second, third)
  )
  select line, found, first, second, third from sized
  where bytes_before < ${linesBytesMax} and number <= ${linesMax} order by number`;

const entries = (sql: Sql, tenant: string, id: string, [namespace, key]: Position): Fragment => sql`
  select m.namespace as first, m.key as second, 0 as third, m.bytes, json_build_object('kind', 'mutable', 'namespace', m.namespace,
    'key', m.key, 'value', m.value, 'metadata', m.metadata, 'createdAt', ${iso(sql, sql`m.created_at`)},
    'updatedAt', ${iso(sql, sql`m.updated_at`)}, 'expiresAt', ${iso(sql, sql`m.expire_at`)}, 'accessCount', coalesce(a.count, 0),
    'lastAccessed', ${iso(sql, sql`a.accessed_at`)}, 'updatedBy', m.agent_id, 'principal', m.principal)::text as line
  from mutable m
  left join mutable_access a on a.tenant = m.tenant and a.namespace = m.namespace and a.key = m.key
    and a.created_revision = m.created_revision
  where m.tenant = ${tenant} and m.user_id = ${id} and (m.namespace, m.key) > (${namespace}, ${key})
  order by m.namespace, m.key`;

const versions = (
  sql: Sql,
  tenant: string,
  id: string,
  [type, record, version]: Position,
): Fragment => sql`
  select v.type as first, v.id as second, v.version as third, v.bytes, json_build_object('kind', 'immutable', 'type', v.type,
    'id', v.id, 'version', v.version, 'data', v.data, 'metadata', v.metadata, 'createdAt', ${iso(sql, sql`v.created_at`)},
    'agentId', v.agent_id, 'principal', v.principal)::text as line
  from immutable_version v
  where v.tenant = ${tenant} and v.user_id = ${id} and (v.type, v.id, v.version) > (${type}, ${record}, ${version}::int)
  order by v.type, v.id, v.version`;
