// The one statement that writes entries: see apply.ts. `key` locks the keys and reads them, `op` is what to do, `life` is each key's
// states one after the other, `todo` the last ones, which are stored; `result` is what each operation gave. What it looks up it looks
// up by primary key in subqueries, which no plan can turn into a scan of a table.
import { type Fragment, now, type Sql } from "../../postgres/connection.js";
import type { Room } from "../../runtime/quotas.js";
import type { Plan } from "./apply.js";
import { cells } from "./reply.js";

/** The lock that keeps a namespace without new keys: whoever creates one shares it. */
export const creation = (sql: Sql, tenant: Fragment, namespace: Fragment): Fragment =>
  sql`creation_lock(${tenant}, ${namespace})`;

export function statement(sql: Sql, plan: Plan, wait: boolean): Fragment {
  const { keys, steps, replyBytesMax, deletes, requests, atomic, room } = plan;
  return sql`
    with recursive key as materialized (
      select asked.*, held.*, found.present,
        -- It is there, but locked; or it went while it was waited for, and what came after it only the next statement can see.
        held.revision is null and (
          select m.revision from mutable m
          where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key) is not null as locked,
        case when not found.present then ${creatable(sql, wait)} end as creatable
      from json_to_recordset(${keys}::text::json) as asked (place int, tenant text, namespace text, key text, atomic int)
      left join lateral (
        select m.tenant as found_in, m.value, m.user_id, m.metadata, m.agent_id, m.principal, m.created_at::timestamptz, m.updated_at::timestamptz, m.expire_at::timestamptz,
          m.revision, m.created_revision
        from mutable m
        where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key
        for no key update ${wait ? sql`` : sql`skip locked`}
      ) as held on true
      cross join lateral ( -- when it is locked
        select held.revision is not null and (held.expire_at is null or held.expire_at > clock_timestamp()) as present offset 0
      ) as found
    ), op as materialized (
      select op.*, ${
        requests
          ? sql`(select r.fingerprint from request r where r.tenant = op.tenant and r.id = op.request)`
          : sql`null::text`
      } as repeats
      from json_to_recordset(${steps}::text::json) as op (
        number int, unit int, place int, step int, last boolean, kind text, argument text, expects text, if_revision bigint,
        agent text, principal text, keeps_user boolean, user_id text, keeps_metadata boolean, metadata text, ttl float8,
        tenant text, request text, fingerprint text)
    ), life as (
      select key.tenant, key.namespace, key.key, key.place, key.atomic, key.found_in <> key.tenant as "foreign", key.locked, key.creatable, key.revision as stored,
        0 as step, false as last, null::int as number, null::int as unit, null::text as kind, null::text as request,
        null::text as fingerprint, null::text as repeats, null::text as refusal, null::int as bytes, 0::bigint as reply_bytes, null::timestamptz as at,
        false as deleted, key.present, key.value, key.user_id, key.metadata, key.agent_id, key.principal, key.created_at, key.updated_at, key.expire_at,
        case when key.present then key.revision end as revision, key.created_revision
      from key
      union all
      select was.tenant, was.namespace, was.key, was.place, was.atomic, was."foreign", was.locked, was.creatable, was.stored,
        op.step, op.last, op.number, op.unit, op.kind, op.request,
        op.fingerprint, op.repeats, verdict.refusal, next.bytes,
        was.reply_bytes + case when was.atomic is not null and op.kind in ('add', 'append', 'merge') then next.bytes else 0 end, next.at,
        verdict.changes and op.kind = 'delete',
        case when verdict.changes then op.kind <> 'delete' else was.present end,
        case when verdict.changes then next.value when was.reply_bytes <= ${replyBytesMax} then was.value end,
        case when not verdict.changes then was.user_id
          when op.kind = 'set' and not op.keeps_user then op.user_id
          when was.present then was.user_id end,
        case when not verdict.changes then was.metadata
          when op.kind = 'set' and not op.keeps_metadata then coalesce(op.metadata, '{}')::json
          when was.present then was.metadata else '{}' end,
        case when verdict.changes then op.agent else was.agent_id end,
        case when verdict.changes then op.principal else was.principal end,
        case when verdict.changes and not was.present then next.at else was.created_at end,
        case when verdict.changes then next.at else was.updated_at end,
        case when not verdict.changes then was.expire_at
          when op.kind = 'set' then next.at + op.ttl * interval '1 second'
          when was.present then was.expire_at end,
        case when verdict.changes then next.revision else was.revision end,
        case when verdict.changes and not was.present then next.revision else was.created_revision end
      from life as was
      join op on op.place = was.place and op.step = was.step + 1
      cross join lateral (
        select ${now(sql)} as at, nextval('revision') as revision, made.value, octet_length(made.value::text) as bytes
        from (select ${made(sql, replyBytesMax)} as value offset 0) as made
      ) as next
      cross join lateral (
        select judged.refusal, judged.refusal is null and op.kind <> 'check' and (op.kind <> 'delete' or was.present) as changes
        from (select ${judged(sql, plan)} as refusal offset 0) as judged
      ) as verdict
    ), large as materialized (
      ${
        atomic
          ? sql`select unit from life where atomic is not null and ${computed(sql)} group by unit having sum(bytes) > ${replyBytesMax}`
          : sql`select null::int as unit where false`
      }
    )
    ${room ? sql`, quota as materialized (${exceeding(sql, room)})` : sql``}
    , todo as materialized (
      select * from life
      where last ${room ? sql`and (select refusal from quota) is null` : sql``} ${
        atomic
          ? sql`and (atomic is null
              or not (atomic in (select unit from life where refusal is not null) or atomic in (select unit from large)))`
          : sql``
      }
    ), inserted as (
      insert into mutable
        (tenant, namespace, key, value, user_id, metadata, agent_id, principal, created_at, updated_at, expire_at, revision, created_revision)
      select tenant, namespace, key, value, user_id, metadata, agent_id, principal, created_at, updated_at, expire_at, revision, created_revision
      from todo where present and stored is null
      ${
        // What a transaction found absent is kept so until it ends, by an entry that has expired.
        atomic
          ? sql`union all
              select tenant, namespace, key, 'null', null, '{}', null, null, at, at, '-infinity', nextval('revision'), 0
              from todo where atomic is not null and not present and stored is null`
          : sql``
      }
      order by 1, 2, 3
    ), updated as (
      -- A conflict on a row that is ours by lock: an update that needs no join, whose plan might scan the table.
      insert into mutable as m
        (tenant, namespace, key, value, user_id, metadata, agent_id, principal, created_at, updated_at, expire_at, revision, created_revision)
      select tenant, namespace, key, value, user_id, metadata, agent_id, principal, created_at, updated_at, expire_at, revision, created_revision
      from todo where present and revision <> stored
      on conflict (tenant, namespace, key) do update set
        value = excluded.value, user_id = excluded.user_id, metadata = excluded.metadata, agent_id = excluded.agent_id,
        principal = excluded.principal, created_at = excluded.created_at,
        updated_at = excluded.updated_at, expire_at = excluded.expire_at, revision = excluded.revision,
        created_revision = excluded.created_revision
    )
    ${
      deletes
        ? sql`, gone as materialized (
            select tenant, namespace, key from todo where not present and stored is not null and revision is not null -- it was there
          ), deleted as (
            delete from mutable m
            where m.tenant = any(array(select tenant from gone)) and m.namespace = any(array(select namespace from gone))
              and m.key = any(array(select key from gone))
              and (m.tenant, m.namespace, m.key) in (select tenant, namespace, key from gone))`
        : sql``
    }, result as ${requests ? sql`materialized` : sql``} (
      select life.*, ${room ? sql`(select refusal from quota)` : sql`null::text`} as over_quota, life.unit in (select unit from large) as large, ${cells(sql, sql`${computed(sql)} and life.unit not in (select unit from large)`)} as cells
      from life
      left join lateral (
        select count, accessed_at from mutable_access a
        where a.tenant = life.tenant and a.namespace = life.namespace and a.key = life.key
          and a.created_revision = life.created_revision and life.present
        offset 0
      ) as a on true
      where life.number is not null
    )
    ${requests ? kept(sql) : sql``}
    select cells::text, coalesce(refusal, over_quota) as refusal, large, bytes,
      case when refusal is not null then json_typeof(value) end as type,
      case when present then revision else 0 end as revision,
      repeats, ${
        requests
          ? sql`case when repeats is not null then
              (select r.reply::text from request r where r.tenant = result.tenant and r.id = result.request) end`
          : sql`null`
      } as reply
    from result order by number`;
}

/** Whether the namespace takes a new key: unless a transaction keeps it as it is. */
function creatable(sql: Sql, wait: boolean): Fragment {
  const lock = creation(sql, sql`asked.tenant`, sql`asked.namespace`);
  return wait
    ? sql`pg_advisory_xact_lock_shared(${lock})::text = ''`
    : sql`pg_try_advisory_xact_lock_shared(${lock})`;
}

/** Whether the database has made the value of a row of `life`: what was given need not come back. */
const computed = (sql: Sql): Fragment =>
  sql`(life.kind in ('add', 'append', 'merge') and life.refusal is null)`;

/** The value that an operation makes of the state `was`; null where it cannot. */
const made = (sql: Sql, replyBytesMax: number): Fragment => sql`
  case when was.reply_bytes > ${replyBytesMax} then null else case op.kind
    when 'set' then op.argument::json
    when 'replace' then op.argument::json
    when 'add' then case
      when not was.present or json_typeof(was.value) = 'null' then trim_scale(op.argument::numeric)::text::json
      when json_typeof(was.value) = 'number' and not ${huge(sql)}
        then trim_scale(was.value::text::numeric + op.argument::numeric)::text::json end
    when 'append' then case
      when not was.present then ('[' || op.argument || ']')::json
      when json_typeof(was.value) = 'array' then (
        left(rtrim(was.value::text, E' \\t\\n\\r'), -1)
        || case when was.value::text ~ '^[ \\t\\n\\r]*\\[[ \\t\\n\\r]*\\]' then '' else ',' end
        || op.argument || ']')::json end
    when 'merge' then json_merge_patch(case when was.present then was.value else '{}' end, op.argument::json)
  end end`;

/** A number whose exact sum could pass what the database can hold (131072 digits, 16383 of them after the point). */
const huge = (sql: Sql): Fragment =>
  sql`(length(was.value::text) > 10000 or was.value::text ~ '[eE][+-]?0*[1-9][0-9]{3}')`;

/** Why an operation cannot be done to the state `was`; null where it can. */
const judged = (sql: Sql, { valueBytesMax, replyBytesMax }: Plan): Fragment => sql`
  case
    when op.repeats is not null then 'REPEATED'
    when was."foreign" then 'FOREIGN' -- the statement found the row of another tenant: see ownRow
    when was.locked then 'LOCKED'
    when was.reply_bytes > ${replyBytesMax} then 'REPLY_TOO_LARGE'
    when op.expects = 'present' and not was.present then 'KEY_NOT_FOUND'
    when op.if_revision is not null and (not was.present or was.revision <> op.if_revision) then 'REVISION_MISMATCH'
    when op.expects = 'absent' and was.present then 'KEY_EXISTS'
    when op.kind = 'add' and next.value is null then
      case json_typeof(was.value) when 'number' then 'NUMBER_OUT_OF_RANGE' else 'VALUE_NOT_NUMERIC' end
    when op.kind = 'append' and next.value is null then 'VALUE_NOT_ARRAY'
    when next.bytes > ${valueBytesMax} then 'VALUE_TOO_LARGE'
    when op.user_id is not null and (select u.id from users u where u.tenant = was.tenant and u.id = op.user_id) is null
      then 'USER_NOT_FOUND'
    when not was.present and was.creatable is false and op.kind not in ('check', 'delete') then 'LOCKED'
  end`;

/** What one unit would add to what its tenant stores, and whether that is more than there is room for. What adds nothing always may. */
const exceeding = (sql: Sql, room: Room): Fragment => sql`
  select case
      when keys > greatest(0, ${room.keys}::bigint) then 'QUOTA_KEYS'
      when bytes > greatest(0, ${room.bytes}::bigint) then 'QUOTA_BYTES'
    end as refusal
  from (
    select count(*) filter (where life.present and not key.present) as keys,
      sum(case when life.present then octet_length(life.value::text) + octet_length(life.metadata::text) else 0 end
        - case when key.present then octet_length(key.value::text) + octet_length(key.metadata::text) else 0 end) as bytes
    from life join key on key.place = life.place
    where life.last
  ) as added`;

/** Keeps the replies of the units that have a request id and were applied. */
const kept = (sql: Sql): Fragment => sql`, kept as (
  insert into request (tenant, id, fingerprint, reply, user_ids)
  select tenant, request, fingerprint, json_agg(cells order by number),
    coalesce(array_agg(distinct user_id) filter (where user_id is not null), '{}')
  from result where request is not null
  group by unit, tenant, request, fingerprint
  having bool_and(refusal is null and over_quota is null) and not bool_or(large))`;
