// Everything that is linked to a user, as lines of JSON.
import type { ExportRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import {
  claims,
  type ExportedTable,
  entries,
  exportRows,
  iso,
  oneLine,
  overheadBytes,
  streamEntries,
  versions,
} from "../storage/export.js";
import { inOrder, sizedRow } from "../storage/keyset.js";
import * as check from "../validation/fields.js";

export async function* exportUser(request: ExportRequest, call: Call) {
  const { tenant } = call.caller;
  const id = check.userId(request.id, "id");
  const [user] = await call.db.scans<{ line: string }>(
    (sql) => sql`
      select json_build_object('kind', 'user', 'id', u.id, 'profile', u.profile, 'createdAt', ${iso(sql, sql`u.created_at`)},
        'updatedAt', ${iso(sql, sql`u.updated_at`)})::text as line
      from users u where u.tenant = ${tenant} and u.id = ${id}`,
  );
  if (!user) throw new CortexError("USER_NOT_FOUND", { user_id: id });
  yield { lines: [oneLine(user.line)] };
  yield* exportRows(call, entries, (sql) => sql`m.user_id = ${id}`);
  yield* exportRows(call, versions, (sql) => sql`v.user_id = ${id}`);
  yield* exportRows(call, claims, (sql) => sql`c.user_id = ${id}`);
  yield* exportRows(call, streamEntries, (sql) => sql`e.user_id = ${id}`);
  yield* exportRows(
    call,
    changesOf(id),
    (sql) => sql`(c.user_id = ${id} or c.old_user_id = ${id})`,
  );
}

/** The log of changes: values that the user had, for as long as watches may ask for them. */
const changesOf = (id: string): ExportedTable => ({
  rows: (sql, tenant, matches, [, , after]) => sql`
    select c.space as first, c.name as second, c.id as third, ${sizedRow(sql, sql`(c.bytes + ${overheadBytes}::int)`)},
      c.store, c.kind, case when c.user_id = ${id} then c.value end as value, c.revision, c.at, c.agent_id
    from change c
    where c.tenant = ${tenant} and ${matches} and c.id > ${after}::bigint
    ${inOrder(sql, sql`c.id`)} order by c.id`,
  line: (sql) => sql`
    json_build_object('kind', 'change', 'store', case r.store when 'entry' then 'mutable' when 'record' then 'immutable' else 'events' end, 'scope', coalesce(scope_path(r.first), scope_path(r.second)),
      'space', own_name(r.first), 'name', own_name(r.second),
      'change', r.kind, 'value', r.value, 'revision', r.revision::text, 'at', ${iso(sql, sql`r.at`)}, 'agentId', r.agent_id)`,
});
