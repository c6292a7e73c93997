// The one statement that delivers entries of groups to consumers. Its steps, in the order of the statement:
//   guard         locks the claims that guard the calls
//   asked         the calls: locks their request ids, and looks for stored replies
//   reader        locks the rows of the groups, so that one call at a time delivers; draws the delivery numbers
//   candidate     locks pending entries that may be delivered again
//   dead          makes dead letters of those that were delivered often enough
//   sized, again  delivers the others again
//   fresh, added  delivers new entries (Read)
//   moved         notes how far the groups have read
//   stored_reply  stores the deliveries under the request ids
import type { Fragment, Sql } from "../../postgres/connection.js";
import { recordset } from "../../postgres/recordset.js";
import { idText } from "../../validation/stream-fields.js";
import {
  type CommonRefusal,
  commonRefusals,
  replyColumn,
  requestColumns,
  type StoredBefore,
} from "../claims/admission.js";
import { guards } from "../claims/guard.js";
import type { StatementMode } from "../write-path.js";
import type { DeliveredRow, DeliverWrite } from "./delivery.js";

const bytesMax = 1024 * 1024;

/** A row of the statement's answer: one for each entry; one for each call that gets none. */
export interface DeliverRow extends StoredBefore, Omit<DeliveredRow, "ms"> {
  write: number;
  refusal: CommonRefusal | "GROUP_NOT_FOUND" | "GROUP_LOCKED" | null;
  ms: string | null;
  is_full: boolean | null;
  visibility_seconds: number;
  wait_ms: number | null;
}

const callRows = recordset("asked", {
  write: "int",
  tenant: "text",
  stream: "text",
  consumer_group: "text",
  consumer: "text",
  count: "int",
  fresh_max: "int",
  idle: "float8", // null: it reads
  ids: "text[]", // null: any
  request: "text",
  fingerprint: "text",
});

export function statement(
  sql: Sql,
  writes: DeliverWrite[],
  { locking }: Pick<StatementMode, "locking">,
): Fragment {
  const asked = writes.map((w, write) => ({
    write,
    tenant: w.tenant,
    stream: w.stream,
    consumer_group: w.group,
    consumer: w.consumer,
    count: w.count,
    fresh_max: w.takeOver ? 0 : Math.min(w.count, Math.max(w.room?.pending ?? w.count, 0)),
    idle: w.takeOver?.idleSeconds,
    ids: w.takeOver && w.takeOver.ids.length > 0 ? w.takeOver.ids.map(idText) : undefined,
    request: w.idempotencyKey?.id,
    fingerprint: w.idempotencyKey?.fingerprint,
  }));
  const tries = locking === "try";
  const hasGuards = writes.some(({ guard }) => guard);
  const hasRequests = writes.some(({ idempotencyKey }) => idempotencyKey);
  const takesOver = writes.some(({ takeOver }) => takeOver);
  const past = () => sql`
    case when p.consumer = '' then p.history
      else with_past_delivery(p.history, p.consumer, p.delivered_at, case when r.idle is null then 'timed out' else 'taken over' end, null) end`;
  const isIdle = () => sql`
    p.dead_at is null and p.consumer <> '' and p.delivered_at <= r.at - r.idle * interval '1 second'`;
  const mayBeDelivered = () => sql`c.deliveries < coalesce(r.max_deliveries, 2147483647)`;
  return sql`
    with ${hasGuards ? sql`guard as materialized (${guards(sql, writes, tries)}),` : sql``}
    asked as materialized (
      select asked.*, s.id as stream_id, g.trims as known_trims, g.trims is not null as has_group,
        ${hasGuards ? sql`(select g.refusal from guard g where g.write = asked.write)` : sql`null::text`} as guard_refusal,
        ${requestColumns(sql, { hasRequests }, locking)}
      from ${callRows(sql, asked)} ${hasGuards ? sql`join (select count(*) from guard) as guarded on true` : sql``}
      left join lateral (
        select s.id from stream s where s.tenant = asked.tenant and s.name = asked.stream offset 0
      ) as s on true
      left join lateral (
        select g.trims from stream_group g where g.stream_id = s.id and g.name = asked.consumer_group offset 0
      ) as g on true
    ), reader as materialized (
      select a.*, g.id, g.after_ms, g.after_seq, g.visibility_seconds, g.max_deliveries, t.at, t.number
      from asked a
      cross join lateral (
        select g.id, g.after_ms, g.after_seq, g.visibility_seconds, g.max_deliveries, g.trims
        from stream_group g where g.stream_id = a.stream_id and g.name = a.consumer_group for update ${tries ? sql`skip locked` : sql``}
      ) as g
      cross join lateral (
        select date_trunc('milliseconds', clock_timestamp()) as at, case when g.id > 0 then nextval('stream_delivery') end as number offset 0
      ) as t
      where a.repeats is null and not a.request_blocked and a.guard_refusal is null
        and g.trims = a.known_trims -- otherwise entries may be gone that the statement still sees
    ), candidate as materialized (
      select r.write, c.ms, c.seq, c.deliveries from reader r cross join lateral (
        select p.ms, p.seq, p.deliveries from stream_pending p
        where r.idle is null and p.group_id = r.id and p.dead_at is null and p.visible_at <= r.at
        order by p.visible_at limit r.count for update skip locked
      ) as c
      ${
        takesOver
          ? sql`union all
            select r.write, c.ms, c.seq, c.deliveries from reader r cross join lateral (
              select p.ms, p.seq, p.deliveries from stream_pending p
              where r.ids is null and p.group_id = r.id and ${isIdle()}
              order by p.ms, p.seq limit r.count for update skip locked
            ) as c
            union all
            select r.write, c.ms, c.seq, c.deliveries from reader r cross join lateral (
              select p.ms, p.seq, p.deliveries
              from (select distinct split_part(i, '-', 1)::bigint as ms, split_part(i, '-', 2)::bigint as seq from unnest(r.ids) as i) as named
              cross join lateral (
                select p.ms, p.seq, p.deliveries from stream_pending p
                where p.group_id = r.id and p.ms = named.ms and p.seq = named.seq and ${isIdle()} for update skip locked
              ) as p
              order by p.ms, p.seq limit r.count
            ) as c
            where r.ids is not null`
          : sql``
      }
    ), dead as (
      update stream_pending p set dead_at = r.at, consumer = '', history = ${past()}
      from reader r, candidate c
      where c.write = r.write and not ${mayBeDelivered()} and p.group_id = r.id and p.ms = c.ms and p.seq = c.seq
    ), sized as materialized (
      select r.write, c.ms, c.seq, sum(e.bytes) over (partition by r.write order by c.ms, c.seq) as bytes, e.bytes as own_bytes
      from reader r join candidate c on c.write = r.write and ${mayBeDelivered()}
      join stream_entry e on e.stream_id = r.stream_id and e.ms = c.ms and e.seq = c.seq
    ), again as (
      update stream_pending p set
        consumer = r.consumer, delivery = r.number, deliveries = p.deliveries + 1, delivered_at = r.at,
        visible_at = r.at + r.visibility_seconds * interval '1 second', history = ${past()}
      from reader r, sized z
      where z.write = r.write and z.bytes - z.own_bytes < ${bytesMax}::int and p.group_id = r.id and p.ms = z.ms and p.seq = z.seq
      returning z.write, p.ms, p.seq, p.deliveries
    ), fresh as materialized (
      select f.write, f.ms, f.seq from (
        select r.write, e.ms, e.seq, sum(e.bytes) over (partition by r.write order by e.ms, e.seq) - e.bytes as bytes_before
        from reader r cross join lateral (
          select e.ms, e.seq, e.bytes from stream_entry e
          where e.stream_id = r.stream_id and (e.ms, e.seq) > (r.after_ms, r.after_seq)
          order by e.ms, e.seq limit least(r.count - (select count(*) from sized z where z.write = r.write), r.fresh_max)
        ) as e
      ) as f
      where f.bytes_before + coalesce((select max(z.bytes) from sized z where z.write = f.write), 0) < ${bytesMax}::int
    ), added as (
      insert into stream_pending (tenant, group_id, ms, seq, consumer, delivery, deliveries, delivered_at, visible_at)
      select r.tenant, r.id, f.ms, f.seq, r.consumer, r.number, 1, r.at, r.at + r.visibility_seconds * interval '1 second'
      from reader r join fresh f on f.write = r.write order by r.id, f.ms, f.seq
    ), moved as (
      -- An insert that always conflicts, since we have locked these rows: see storage/entries/statement.ts.
      insert into stream_group as g (tenant, stream_id, name, after_ms, after_seq, visibility_seconds)
      select r.tenant, r.stream_id, r.consumer_group, last.ms, last.seq, r.visibility_seconds
      from reader r cross join lateral (
        select f.ms, f.seq from fresh f where f.write = r.write order by f.ms desc, f.seq desc limit 1
      ) as last
      on conflict (stream_id, name) do update set after_ms = excluded.after_ms, after_seq = excluded.after_seq
    ), given as materialized (
      select a.write, a.ms, a.seq, a.deliveries, 0 as part from again a
      union all
      select f.write, f.ms, f.seq, 1, 1 from fresh f
    )
    ${
      hasRequests
        ? sql`, stored_reply as (
            insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
            select made.tenant, made.request, seal(made.fingerprint), made.reply, '{}', octet_length(made.reply::text)
            from (
              select r.tenant, r.request, r.fingerprint,
                json_build_object('delivery', r.number::text, 'ids', json_agg(array[g.ms, g.seq] order by g.part, g.ms, g.seq)) as reply
              from reader r join given g on g.write = r.write where r.request is not null
              group by r.tenant, r.request, r.fingerprint, r.number
            ) as made)`
        : sql``
    }
    select a.write, case
        ${commonRefusals(sql, { hasGuards }, sql`a`)}
        when not a.has_group then 'GROUP_NOT_FOUND'
        when r.id is null then 'GROUP_LOCKED'
        -- All that it found became dead letters: it is to try again, for others.
        when g.ms is null and exists (select from candidate c where c.write = a.write) then 'GROUP_LOCKED'
      end as refusal,
      r.visibility_seconds, r.number as delivery, g.ms, g.seq, g.deliveries, e.data::text, e.user_id, e.agent_id,
      case when g.ms is null and r.idle is null and r.fresh_max <= 0 then exists (
        select from stream_entry e where e.stream_id = r.stream_id and (e.ms, e.seq) > (r.after_ms, r.after_seq)
      ) end as is_full,
      case when g.ms is null then (
        select (extract(epoch from p.visible_at - clock_timestamp()) * 1000)::float8 from stream_pending p
        where p.group_id = r.id and p.dead_at is null order by p.visible_at limit 1
      ) end as wait_ms,
      a.repeats, ${replyColumn(sql, { hasRequests }, sql`a`)}
    from asked a
    left join reader r on r.write = a.write
    left join given g on g.write = a.write
    left join lateral (
      select e.data, e.user_id, e.agent_id from stream_entry e where e.stream_id = r.stream_id and e.ms = g.ms and e.seq = g.seq
    ) as e on true
    order by a.write, g.part, g.ms, g.seq`;
}
