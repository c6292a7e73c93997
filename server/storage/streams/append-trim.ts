// How an append with a limit trims its streams: steps of its statement (append-statement.ts).
import type { Fragment, Sql } from "../../postgres/connection.js";

/** How many entries an append deletes at most, beyond as many as it appends. */
const trimMax = 1000;
/** How many it looks at beyond those that it is to delete. */
const passedOverMax = 20;
/** What was passed over because it was pending is looked at again after so long. */
const anewSeconds = 10;

/**
 * The steps that delete the oldest entries of the streams that have too many. What a group has pending stays. A Read may
 * have delivered more since the statement began; so what a group had not read then is deleted only if the group can be
 * locked, and has not read it since.
 */
export const trim = (sql: Sql): Fragment => sql`, beyond as materialized (
    select j.*, case when j.is_anew then 0 else j.trim_ms end as from_ms, case when j.is_anew then 0 else j.trim_seq end as from_seq
    from (
      select j.id, t.entries, max(t.entries + j.added - j.max_len) as surplus, max(j.now_ms - j.max_age * 1000)::bigint as oldest,
        sum(j.adds) + ${trimMax}::int as most, t.trim_ms, t.trim_seq, t.has_passed, t.trim_at,
        t.has_passed and t.trim_at < clock_timestamp() - ${anewSeconds}::int * interval '1 second' as is_anew
      from (
        select j.*, sum(j.adds) over (partition by j.id order by j.write) as added from judged j where j.refusal is null
      ) as j
      join target t on t.id = j.id
      where (j.max_len is not null or j.max_age is not null)
        -- A group that was created since the statement began may read what the statement is about to delete.
        and t.groups = (select s.groups from stream s where s.tenant = t.tenant and s.name = t.stream)
      group by j.id, t.entries, t.trim_ms, t.trim_seq, t.has_passed, t.trim_at
    ) as j
  ), seen as materialized ( -- the oldest entries, from where trimming has got to
    select b.id, o.ms, o.seq from beyond b cross join lateral (
      select e.ms, e.seq from stream_entry e where e.stream_id = b.id and (e.ms, e.seq) > (b.from_ms, b.from_seq)
      order by e.ms, e.seq limit case when b.surplus > 0 then least(b.surplus + ${passedOverMax}::int, b.most) else 0 end
    ) as o
    union
    select b.id, o.ms, o.seq from beyond b cross join lateral (
      select e.ms, e.seq from stream_entry e where e.stream_id = b.id and (e.ms, e.seq) > (b.from_ms, b.from_seq) and e.ms < b.oldest
      order by e.ms, e.seq limit ${trimMax}::int
    ) as o
  ), reading as materialized ( -- the groups as the statement sees them, and as they are where it has to lock them
    select b.id, g.id as group_id, g.name, g.after_ms, g.after_seq, held.after_ms as held_ms, held.after_seq as held_seq, u.has_unread
    from beyond b join stream_group g on g.stream_id = b.id
    cross join lateral (
      select exists (select from seen o where o.id = b.id and (o.ms, o.seq) > (g.after_ms, g.after_seq)) as has_unread
    ) as u
    left join lateral (
      select h.after_ms, h.after_seq from stream_group h
      where u.has_unread and h.stream_id = g.stream_id and h.name = g.name for update skip locked
    ) as held on true
  ), free as materialized (
    select o.id, o.ms, o.seq, row_number() over (partition by o.id order by o.ms, o.seq) as place from seen o
    where not exists (
      select from reading r where r.id = o.id and not (
        (o.ms, o.seq) <= (r.after_ms, r.after_seq)
          and not exists (select from stream_pending p where p.group_id = r.group_id and p.ms = o.ms and p.seq = o.seq)
        or r.held_ms is not null and (o.ms, o.seq) > (r.held_ms, r.held_seq)))
  ), doomed as materialized (
    select f.id, f.ms, f.seq from free f join beyond b on b.id = f.id where f.place <= b.surplus or f.ms < b.oldest
  ), trimmed as (
    delete from stream_entry e using doomed d where e.stream_id = d.id and e.ms = d.ms and e.seq = d.seq returning e.stream_id, e.bytes
  ), told as ( -- a Read that began before must not deliver what is deleted: see deliver.ts
    update stream_group g set trims = g.trims + 1 from reading r where r.held_ms is not null and g.stream_id = r.id and g.name = r.name
  ), trim_place as materialized ( -- behind what was deleted, and behind what was passed over if more had to be
    select b.id, coalesce(at.ms, b.from_ms) as trim_ms, coalesce(at.seq, b.from_seq) as trim_seq,
      b.has_passed and not b.is_anew or exists (
        select from seen o where o.id = b.id and (o.ms, o.seq) <= (at.ms, at.seq)
          and not exists (select from doomed d where d.id = o.id and d.ms = o.ms and d.seq = o.seq)
      ) as has_passed,
      case when b.has_passed and not b.is_anew then b.trim_at else clock_timestamp() end as trim_at
    from beyond b
    left join lateral (
      select o.ms, o.seq from seen o
      where o.id = b.id and (
        exists (select from doomed d where d.id = o.id and d.ms = o.ms and d.seq = o.seq)
        or (o.ms < b.oldest or (select count(*) from doomed d where d.id = b.id) < b.surplus)
          and not exists (select from reading r where r.id = b.id and r.has_unread and r.held_ms is null))
      order by o.ms desc, o.seq desc limit 1
    ) as at on true
  )`;
