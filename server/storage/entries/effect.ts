// What an operation makes of an entry, in SQL: the one description for the statement of plain writes and for the general
// one. `op` is the operation, `was` the state of the entry before it, `next` its time, revision and new value.
import type { Fragment, Sql } from "../../postgres/connection.js";

/** The user of the entry. */
export const newUser = (sql: Sql): Fragment => sql`
  case when op.kind = 'set' and not op.keeps_user then op.user_id
    when was.present then was.user_id end`;

export const newMetadata = (sql: Sql): Fragment => sql`
  case when op.kind = 'set' and not op.keeps_metadata then coalesce(op.metadata, '{}')::json
    when was.present then was.metadata else '{}' end`;

export const newExpiry = (sql: Sql): Fragment => sql`
  case when op.kind in ('set', 'expire') then next.at + op.ttl * interval '1 second'
    when was.present then was.expire_at end`;

/** The bytes of a row of `states` in a reply: its texts, and the most that times, numbers and tags take. */
export const recordBytes = (sql: Sql): Fragment =>
  sql`bytes + octet_length(metadata::text) + octet_length(concat(namespace, key, user_id, agent_id, principal)) + 128`;

/**
 * True if the database computed the value of a row of `states` or `result`. A value that the caller sent is not sent
 * back.
 */
export const isComputed = (sql: Sql, row: Fragment): Fragment =>
  sql`(${row}.kind in ('add', 'append', 'merge', 'expire') and ${row}.refusal is null)`;

export interface Limits {
  valueBytesMax: number;
  replyBytesMax: number;
  /** True if the operation would take too long for this statement. */
  takesLong: Fragment;
}

/** The value that the operation makes of the state `was`; null where it cannot. */
export const newValue = (sql: Sql, { replyBytesMax, takesLong }: Limits): Fragment => sql`
  case when was.reply_bytes > ${replyBytesMax} or ${takesLong} then null else case op.kind
    when 'set' then op.argument::json
    when 'replace' then op.argument::json
    when 'expire' then case when was.present then was.value end
    when 'add' then case
      when not was.present or json_typeof(was.value) = 'null' then trim_scale(op.argument::numeric)::text::json
      when json_typeof(was.value) = 'number' and not ${isHugeNumber(sql)}
        then trim_scale(was.value::text::numeric + op.argument::numeric)::text::json end
    when 'append' then case
      when not was.present then ('[' || op.argument || ']')::json
      when json_typeof(was.value) = 'array' then (
        left(rtrim(was.value::text, E' \\t\\n\\r'), -1)
        || case when was.value::text ~ '^[ \\t\\n\\r]*\\[[ \\t\\n\\r]*\\]' then '' else ',' end
        || op.argument || ']')::json end
    when 'merge' then json_merge_patch(case when was.present then was.value else '{}' end, op.argument::json)
  end end`;

/**
 * A number whose exact sum could have more digits than the database can hold (131072, 16383 of them after the
 * point).
 */
const isHugeNumber = (sql: Sql): Fragment =>
  sql`(length(was.value::text) > 10000 or was.value::text ~ '[eE][+-]?0*[1-9][0-9]{3}')`;

/** Why the operation cannot be applied to the state `was`; null where it can. */
export const refusal = (
  sql: Sql,
  { valueBytesMax, replyBytesMax, takesLong }: Limits,
): Fragment => sql`
  case
    when op.repeats is not null then 'REPEATED'
    when was."foreign" then 'FOREIGN' -- the statement found the row of another tenant: see ownRow
    when op.request_blocked then 'REQUEST_LOCKED'
    when op.guard_refusal is not null then op.guard_refusal
    when was.locked or was.blocked = 'name' then 'KEY_LOCKED'
    when ${takesLong} then 'LARGE'
    when was.reply_bytes > ${replyBytesMax} then 'REPLY_TOO_LARGE'
    when op.expects = 'present' and not was.present then 'KEY_NOT_FOUND'
    when op.if_revision is not null and (not was.present or was.revision <> op.if_revision) then 'REVISION_MISMATCH'
    when op.expects = 'absent' and was.present then 'KEY_EXISTS'
    when op.kind = 'add' and next.value is null then
      case json_typeof(was.value) when 'number' then 'NUMBER_OUT_OF_RANGE' else 'VALUE_NOT_NUMERIC' end
    when op.kind = 'append' and next.value is null then 'VALUE_NOT_ARRAY'
    when next.bytes > ${valueBytesMax} and op.kind <> 'expire' then 'VALUE_TOO_LARGE'
    when op.user_id is not null and not op.user_held then
      case when (select u.id from users u where u.tenant = was.tenant and u.id = op.user_id) is null then 'USER_NOT_FOUND'
        else 'USER_LOCKED' end
    when not was.present and was.blocked = 'space' and (was.atomic is not null or op.kind not in ('check', 'delete')) then 'NAMESPACE_LOCKED'
  end`;
