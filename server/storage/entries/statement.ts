// The one statement that writes entries. Its steps, in the order of the statement:
//   locked_key   locks the keys and reads their entries
//   operation    the operations to apply
//   states       each key's states, one after the other: what is stored, then what each operation makes of it
//   changed      the rows that change, with the revision before and all columns after
//   result       what each operation gave, or why it was refused
// It looks rows up by primary key in subqueries, which no plan can turn into a scan of a table.
import { type Fragment, now, type Sql } from "../../postgres/connection.js";
import { type Rows, recordset } from "../../postgres/recordset.js";
import { TextStatements } from "../../postgres/text.js";
import { guards } from "../claims/guard.js";
import { lockCreation, lockRequest, namesMax } from "../creation.js";
import { matching } from "../idempotency.js";
import type { StatementMode } from "../write-path.js";
import type { AtomicWrite } from "./atomic-write.js";
import {
  isComputed,
  newExpiry,
  newMetadata,
  newUser,
  newValue,
  recordBytes,
  refusal,
} from "./effect.js";
import { type Input, inputOf, keyColumns, operationColumns } from "./input.js";
import { overQuota } from "./over-quota.js";
import { cells } from "./reply.js";
import { storedReplies } from "./stored-replies.js";
import { storing } from "./storing.js";

const keyRows = recordset("asked", keyColumns);
const operationRows = recordset("op", operationColumns);
/** The bytes of a value up to which a shared statement appends to it or merges into it. */
const sharedBytesMax = 64 * 1024;

const texts = new TextStatements();

export function statement(sql: Sql, writes: AtomicWrite[], mode: StatementMode): Fragment {
  const input = inputOf(writes);
  const { keys, operations, hasAtomic, hasDeletes, hasRequests } = input;
  const many = keys.length > namesMax;
  const [write] = writes as [AtomicWrite];
  const { valueBytesMax, replyBytesMax, room } = write;
  const hasGuards = writes.some(({ guard }) => guard);
  // A statement that checks a quota or claims has their values in its parts.
  if (room || hasGuards)
    return build(sql, { ...input, many, write, guarded: hasGuards ? writes : undefined }, mode);
  const { locking, shared } = mode;
  const flags = [shared, many, hasAtomic, hasDeletes, hasRequests];
  return texts.statement(
    sql,
    [locking, ...flags, valueBytesMax, replyBytesMax].join(),
    (parts) => build(parts, { ...input, keys: 1, operations: 2, many, write }, mode),
    [JSON.stringify(keys), JSON.stringify(operations)],
  );
}

interface Parts extends Omit<Input, "keys" | "operations"> {
  keys: Rows<typeof keyColumns>;
  operations: Rows<typeof operationColumns>;
  /** True if it has more keys than one statement locks by name. */
  many: boolean;
  /** Any of its writes: their limits are the same. */
  write: AtomicWrite;
  /** The writes, if any has a guard. */
  guarded?: AtomicWrite[] | undefined;
}

function build(
  sql: Sql,
  { keys, operations, hasAtomic, hasDeletes, hasRequests, many, write, guarded }: Parts,
  { locking, shared }: StatementMode,
): Fragment {
  const { valueBytesMax, replyBytesMax, room } = write;
  const takesLong = shared
    ? sql`(op.kind in ('append', 'merge') and was.bytes > ${sharedBytesMax})`
    : sql`false`;
  const limits = { valueBytesMax, replyBytesMax, takesLong };
  const skipLocked = locking === "try" ? sql`skip locked` : sql``;
  return sql`
    with recursive ${guarded ? sql`guard as materialized (${guards(sql, guarded, locking === "try")}),` : sql``}
    locked_key as materialized (
      select asked.*, held.*, found.present,
        -- True if the row exists but we could not lock it. Either somebody else has locked it, or it was
        -- deleted while we waited for its lock: only the next statement sees what was stored after that.
        held.revision is null and (
          select m.revision from mutable m
          where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key) is not null as locked,
        case when asked.creates and not found.present then ${lockCreation(
          sql,
          "entry",
          {
            tenant: sql`asked.tenant`,
            space: sql`asked.namespace`,
            name: sql`asked.key`,
            isNew: sql`held.revision is null`,
            many,
            ...(hasAtomic && {
              existsNow: sql`asked.atomic is not null and entry_exists(asked.tenant, asked.namespace, asked.key)`,
            }),
          },
          locking,
        )} end as blocked
      from ${keyRows(sql, keys)} ${guarded ? sql`join (select count(*) from guard) as guarded on true -- locked before keys` : sql``}
      left join lateral (
        select m.tenant as found_in, m.value, m.user_id, m.metadata, m.agent_id, m.principal, m.created_at::timestamptz, m.updated_at::timestamptz, m.expire_at::timestamptz,
          m.revision, m.created_revision, m.bytes
        from mutable m
        where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key
        for no key update ${skipLocked}
      ) as held on true
      cross join lateral ( -- evaluated once the row is locked
        select held.revision is not null and (held.expire_at is null or held.expire_at > clock_timestamp()) as present offset 0
      ) as found
    ), operation as materialized (
      select op.*, ${guarded ? sql`(select g.refusal from guard g where g.write = op.write)` : sql`null::text`} as guard_refusal, ${
        hasRequests
          ? sql`(select ${matching(sql, sql`r.fingerprint`, sql`op.fingerprint`)} from request r where r.tenant = op.tenant and r.id = op.request) as repeats,
              case when op.request is not null then ${lockRequest(sql, { tenant: sql`op.tenant`, id: sql`op.request` }, locking)} end as request_blocked`
          : sql`null::text as repeats, false as request_blocked`
      },
        -- The user that the row will refer to. Its deletion locks it: to find that out by the foreign key, one would have to wait.
        op.user_id is not distinct from key.user_id or u.id is not null as user_held
      from ${operationRows(sql, operations)}
      join locked_key as key on key.ordinal = op.key_ordinal
      left join lateral (
        select u.id from users u where u.tenant = key.tenant and u.id = op.user_id and u.id is distinct from key.user_id
        for key share ${skipLocked}
      ) as u on true
    ), states as (
      select key.tenant, key.namespace, key.key, key.ordinal, key.atomic, key.found_in <> key.tenant as "foreign", key.locked, key.blocked, key.revision as stored,
        0 as step, false as last, null::timestamptz as seen_until, null::int as number, null::int as write, null::text as kind, null::text as request, null::int as content_max,
        null::text as fingerprint, null::text as repeats, null::text as refusal, case when key.present then key.bytes end as bytes, 0::bigint as reply_bytes, null::timestamptz as at,
        false as deleted, key.present, key.value, key.user_id, key.metadata, key.agent_id, key.principal, key.created_at, key.updated_at, key.expire_at,
        case when key.present then key.revision end as revision, key.created_revision
      from locked_key as key
      union all
      select was.tenant, was.namespace, was.key, was.ordinal, was.atomic, was."foreign", was.locked, was.blocked, was.stored,
        op.step, op.last,
        case when was.present then was.expire_at end,
        op.number, op.write, op.kind, op.request, op.content_max,
        op.fingerprint, op.repeats, verdict.refusal, next.bytes,
        was.reply_bytes + case when was.atomic is not null and op.kind in ('add', 'append', 'merge', 'expire') then next.bytes else 0 end, next.at,
        verdict.changes and op.kind = 'delete',
        case when verdict.changes then op.kind <> 'delete' else was.present end,
        case when verdict.changes then next.value when was.reply_bytes <= ${replyBytesMax} then was.value end,
        case when verdict.changes then ${newUser(sql)} else was.user_id end,
        case when verdict.changes then ${newMetadata(sql)} else was.metadata end,
        case when verdict.changes then op.agent else was.agent_id end,
        case when verdict.changes then op.principal else was.principal end,
        case when verdict.changes and not was.present then next.at else was.created_at end,
        case when verdict.changes then next.at else was.updated_at end,
        case when verdict.changes then ${newExpiry(sql)} else was.expire_at end,
        case when verdict.changes then next.revision else was.revision end,
        case when verdict.changes and not was.present then next.revision else was.created_revision end
      from states as was
      join operation as op on op.key_ordinal = was.ordinal and op.step = was.step + 1
      cross join lateral (
        select ${now(sql)} as at, nextval('revision') as revision, made.value, octet_length(made.value::text) as bytes
        from (select ${newValue(sql, limits)} as value offset 0) as made
      ) as next
      cross join lateral (
        select judged.refusal, judged.refusal is null and op.kind <> 'check' and (op.kind <> 'delete' or was.present) as changes
        from (select ${refusal(sql, limits)} as refusal offset 0) as judged
      ) as verdict
    ), too_large as materialized ( -- writes whose replies are too large
      ${
        hasAtomic
          ? sql`select write from states where atomic is not null and refusal is null and kind not in ('check', 'delete')
              group by write having sum(${recordBytes(sql)}) > ${replyBytesMax}`
          : sql`select null::int as write where false`
      }
    )
    ${room ? sql`, quota as materialized (${overQuota(sql, room)})` : sql``}
    , changed as materialized (
      select final.*, stored as revision_before,
        case when not present then 'delete' when stored is null then 'insert' else 'update' end as change
      from states as final
      where last and case when present then revision is distinct from stored
          else stored is not null and revision is not null end -- a live entry was deleted
        ${room ? sql`and (select refusal from quota) is null` : sql``} ${
          hasAtomic
            ? sql`and (atomic is null
                or not (atomic in (select write from states where refusal is not null) or atomic in (select write from too_large)))`
            : sql``
        }
    ), ${storing(sql, sql`change = 'insert'`, sql`change = 'update'`)}
    ${
      hasDeletes
        ? sql`, deleted_key as materialized (
            select tenant, namespace, key, agent_id from changed where change = 'delete'
          ), removers as materialized ( -- who deletes what, for the log of changes
            select set_config('cortex.removed_by', coalesce(json_object_agg(concat_ws(E'\\x01', tenant, namespace, key), agent_id)
              filter (where agent_id is not null), '{}')::text, true)
            from deleted_key
          ), deleted as (
            delete from mutable m
            where (select count(*) from removers) = 1 and m.tenant = any(array(select tenant from deleted_key)) and m.namespace = any(array(select namespace from deleted_key))
              and m.key = any(array(select key from deleted_key))
              and (m.tenant, m.namespace, m.key) in (select tenant, namespace, key from deleted_key))`
        : sql``
    }, result as ${hasRequests ? sql`materialized` : sql``} (
      select states.*, ${room ? sql`(select refusal from quota)` : sql`null::text`} as over_quota, states.write in (select write from too_large) as large, ${cells(sql, sql`${isComputed(sql, sql`states`)} and states.write not in (select write from too_large)`)} as cells
      from states
      left join lateral (
        select count, accessed_at from mutable_access a
        where a.tenant = states.tenant and a.namespace = states.namespace and a.key = states.key
          and a.created_revision = states.created_revision and states.present
        offset 0
      ) as a on true
      where states.number is not null
    )
    ${hasRequests ? storedReplies(sql, !hasAtomic) : sql``}
    select cells::text, coalesce(refusal, over_quota) as refusal, large, bytes, seen_until,
      case when refusal is not null then json_typeof(value) end as type,
      case when present then revision else 0 end as found_revision,
      repeats, ${
        hasRequests
          ? sql`case when repeats is not null then
              (select r.reply::text from request r where r.tenant = result.tenant and r.id = result.request) end`
          : sql`null`
      } as reply
    from result order by number`;
}
