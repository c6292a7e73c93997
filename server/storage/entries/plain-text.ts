// The text of the statement that makes plain writes, without the recursion that the general one needs (statement.ts). Its
// steps:
//   locked_key   the operations; locks their keys, and reads their entries
//   states       what each operation makes of its entry, or why it is refused
//   changed      the rows that change
//   result       what each operation gave
import { type Fragment, joinFragments, now, type Sql } from "../../postgres/connection.js";
import { columnNames, parameter } from "../../postgres/text.js";
import { lockCreation, lockRequest } from "../creation.js";
import { matching } from "../idempotency.js";
import {
  isComputed,
  newExpiry,
  newMetadata,
  newUser,
  newValue,
  recordBytes,
  refusal,
} from "./effect.js";
import { columnsOf, columnsWithout, type Needs } from "./plain-columns.js";
import { cells } from "./reply.js";
import { storedReplies } from "./stored-replies.js";
import { storing } from "./storing.js";

interface Limits {
  valueBytesMax: number;
  replyBytesMax: number;
  /** True if it has more keys than one statement locks by name. */
  many: boolean;
}

export function plainText(sql: Sql, needs: Needs, { many, ...bytes }: Limits): Fragment {
  const columns = columnsOf(needs);
  const limits = { ...bytes, takesLong: sql`false` };
  const absent = columnsWithout(sql, needs);
  const arrays = columns.map(({ type }, i) => parameter(sql, i + 1, `${type}[]`));
  const asked = columnNames(sql, [...columns.map(({ name }) => name), "number"]);
  return sql`
    with locked_key as materialized (
      select op.*, held.*, found.present, held.was_tenant <> op.tenant as "foreign", null::text as guard_refusal,
        -- True if the row exists but we could not lock it: see the general statement.
        held.was_revision is null and (
          select m.revision from mutable m where m.tenant = op.tenant and m.namespace = op.namespace and m.key = op.key) is not null as locked,
        case when not found.present and (op.expects is distinct from 'present' or op.atomic is not null) then ${lockCreation(
          sql,
          "entry",
          {
            tenant: sql`op.tenant`,
            space: sql`op.namespace`,
            name: sql`op.key`,
            isNew: sql`held.was_revision is null`,
            many,
            ...(needs.atomic && {
              existsNow: sql`op.atomic is not null and entry_exists(op.tenant, op.namespace, op.key)`,
            }),
          },
          "try",
        )} end as blocked,
        ${
          needs.requests
            ? sql`(select ${matching(sql, sql`r.fingerprint`, sql`op.fingerprint`)} from request r where r.tenant = op.tenant and r.id = op.request) as repeats,
                case when op.request is not null then ${lockRequest(sql, { tenant: sql`op.tenant`, id: sql`op.request` }, "try")} end as request_blocked`
            : sql`null::text as repeats, false as request_blocked`
        },
        ${needs.options ? sql`op.user_id is not distinct from held.was_user or u.id is not null` : sql`true`} as user_held
      from (
        select asked.*, ${absent.length > 0 ? joinFragments(sql, absent, sql`, `) : sql`null`}
        from unnest(${joinFragments(sql, arrays, sql`,`)}) with ordinality as asked (${asked})
      ) as op
      left join lateral (
        select m.tenant as was_tenant, ${needs.kinds ? sql`m.value` : sql`null::json`} as was_value, m.user_id as was_user, m.metadata as was_metadata,
          m.created_at as was_created_at, m.expire_at as was_expire_at, m.revision as was_revision, m.created_revision as was_created_revision
        from mutable m
        where m.tenant = op.tenant and m.namespace = op.namespace and m.key = op.key
        for no key update skip locked
      ) as held on true
      cross join lateral ( -- evaluated once the row is locked
        select held.was_revision is not null and (held.was_expire_at is null or held.was_expire_at > clock_timestamp()) as present offset 0
      ) as found
      ${
        needs.options
          ? sql`left join lateral (
              select u.id from users u where u.tenant = op.tenant and u.id = op.user_id and u.id is distinct from held.was_user
              for key share skip locked
            ) as u on true`
          : sql``
      }
    ), states as materialized (
      select op.number, op.write, op.kind, op.tenant, op.namespace, op.key, op.atomic, op.request, op.fingerprint, op.content_max, op.repeats,
        op.agent as agent_id, op.principal, op.was_revision as stored, case when was.present then op.was_expire_at end as seen_until,
        judged.refusal, true as present, false as deleted, next.at, next.value, next.bytes, next.at as updated_at, next.revision,
        ${newUser(sql)} as user_id, ${newMetadata(sql)} as metadata, ${newExpiry(sql)} as expire_at,
        case when was.present then op.was_created_at else next.at end as created_at,
        case when was.present then op.was_created_revision else next.revision end as created_revision,
        case when judged.refusal is not null and was.present then op.was_revision end as found_revision,
        case when judged.refusal is not null then json_typeof(op.was_value) end as found_type,
        op.keeps_metadata
      from locked_key as op
      cross join lateral (
        select op.tenant, op.present, op.locked, op.blocked, op."foreign", op.atomic, 0 as reply_bytes, op.was_value as value, op.was_user as user_id,
          op.was_metadata as metadata, op.was_expire_at as expire_at, op.was_revision as revision
      ) as was
      cross join lateral (
        select ${now(sql)} as at, nextval('revision') as revision, made.value, octet_length(made.value::text) as bytes
        from (select ${newValue(sql, limits)} as value offset 0) as made
      ) as next
      cross join lateral (select ${refusal(sql, limits)} as refusal offset 0) as judged
    ), too_large as materialized ( -- writes whose replies are too large
      ${
        needs.atomic
          ? sql`select write from states where atomic is not null and refusal is null group by write having sum(${recordBytes(sql)}) > ${bytes.replyBytesMax}`
          : sql`select null::int as write where false`
      }
    ), changed as materialized (
      select * from states where refusal is null ${
        needs.atomic
          ? sql`and (atomic is null
              or not (atomic in (select write from states where refusal is not null) or atomic in (select write from too_large)))`
          : sql``
      }
    ), ${storing(sql, sql`stored is null`, sql`stored is not null`)}, result as ${needs.requests ? sql`materialized` : sql``} (
      select states.*, a.count, a.accessed_at, states.write in (select write from too_large) as large, null::text as over_quota,
        ${needs.requests ? cells(sql, sql`${isComputed(sql, sql`states`)} and states.write not in (select write from too_large)`) : sql`null::json`} as cells
      from states
      left join lateral (
        select count, accessed_at from mutable_access a
        where a.tenant = states.tenant and a.namespace = states.namespace and a.key = states.key
          and a.created_revision = states.created_revision
        offset 0
      ) as a on true
    )
    ${needs.requests ? storedReplies(sql, !needs.atomic) : sql``}
    select tenant, refusal, large, bytes, seen_until, found_type as type, coalesce(found_revision, 0) as found_revision, at, revision, created_at, expire_at, user_id,
      ${needs.options ? sql`case when keeps_metadata then metadata::text end` : sql`metadata::text`} as metadata,
      case when ${isComputed(sql, sql`result`)} and not large then value::text end as value,
      coalesce(count, 0) as access_count, accessed_at, repeats, ${
        needs.requests
          ? sql`case when repeats is not null then
              (select r.reply::text from request r where r.tenant = result.tenant and r.id = result.request) end`
          : sql`null`
      } as reply
    from result order by number`;
}
