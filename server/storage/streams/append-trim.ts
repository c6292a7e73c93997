// How an append with a limit trims its streams: steps of its statement (append-statement.ts).
import type { Fragment, Sql } from "../../postgres/connection.js";

/** How many entries an append looks at, beyond as many as it appends; fewer if each is looked up in many groups. */
const looksMax = 1000;
const looksMin = 20;
/** What was passed over is looked at again after so long. */
const anewSeconds = 10;

/**
 * The steps that delete the oldest entries of the streams that have too many. What a group has pending or as a dead letter
 * stays, and counts: no newer entry is deleted in its place. A Read may have delivered more since the statement began; so
 * what a group had not read then is deleted only if the group can be locked, and has not read it since.
 */
export const trim = (sql: Sql): Fragment => sql`, beyond as materialized (
    select j.*, case when j.is_anew then 0 else j.trim_ms end as from_ms, case when j.is_anew then 0 else j.trim_seq end as from_seq,
      case when j.is_anew then 0 else j.passed end as passed_before, j.surplus - case when j.is_anew then 0 else j.passed end as due
    from (
      select j.id, t.entries, max(t.entries + j.added - j.max_len) as surplus, max(j.now_ms - j.max_age * 1000)::bigint as oldest,
        greatest(${looksMax}::int / greatest((select count(*) from stream_group g where g.stream_id = j.id), 1), ${looksMin}::int) as looks,
        sum(j.adds) as adds, t.trim_ms, t.trim_seq, t.passed, t.trim_at,
        t.passed > 0 and t.trim_done and t.trim_at < clock_timestamp() - ${anewSeconds}::int * interval '1 second' as is_anew
      from (
        select j.*, sum(j.adds) over (partition by j.id order by j.write) as added from judged j where j.refusal is null
      ) as j
      join target t on t.id = j.id
      where (j.max_len is not null or j.max_age is not null)
        -- A group that was created since the statement began may read what the statement is about to delete.
        and (t.is_new or t.groups = (select s.groups from stream s where s.tenant = t.tenant and s.name = t.stream))
      group by j.id, t.entries, t.trim_ms, t.trim_seq, t.passed, t.trim_done, t.trim_at
    ) as j
  ), seen as materialized ( -- the oldest entries beyond a limit, from where trimming has got to
    select b.id, o.ms, o.seq from beyond b cross join lateral (
      select e.ms, e.seq from stream_entry e where e.stream_id = b.id and (e.ms, e.seq) > (b.from_ms, b.from_seq)
      order by e.ms, e.seq limit case when b.due > 0 then least(b.due, b.adds + b.looks) else 0 end
    ) as o
    union
    select b.id, o.ms, o.seq from beyond b cross join lateral (
      select e.ms, e.seq from stream_entry e where e.stream_id = b.id and (e.ms, e.seq) > (b.from_ms, b.from_seq) and e.ms < b.oldest
      order by e.ms, e.seq limit b.looks
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
  ), doomed as materialized (
    select o.id, o.ms, o.seq from seen o
    where not exists (
      select from reading r where r.id = o.id and not (
        (o.ms, o.seq) <= (r.after_ms, r.after_seq) and (
          -- One lookup for each: with exists, Postgres may read all that any group has pending.
          select p.ms from stream_pending p where p.group_id = r.group_id and p.ms = o.ms and p.seq = o.seq offset 0
        ) is null
        or r.held_ms is not null and (o.ms, o.seq) > (r.held_ms, r.held_seq)))
  ), trimmed as (
    delete from stream_entry e using doomed d where e.stream_id = d.id and e.ms = d.ms and e.seq = d.seq returning e.stream_id, e.bytes
  ), told as ( -- a Read that began before must not deliver what is deleted: see deliver-statement.ts
    update stream_group g set trims = g.trims + 1 from reading r where r.held_ms is not null and g.stream_id = r.id and g.name = r.name
  ), trim_place as materialized ( -- behind all that was looked at; behind what was deleted, if a group could not be locked
    select b.id, coalesce(at.ms, b.from_ms) as trim_ms, coalesce(at.seq, b.from_seq) as trim_seq,
      b.passed_before + (select count(*) from seen o where o.id = b.id and (o.ms, o.seq) <= (at.ms, at.seq))
        - (select count(*) from doomed d where d.id = b.id) as passed,
      not l.is_locked and coalesce(b.due <= (select count(*) from seen o where o.id = b.id), true)
        and coalesce((select count(*) from seen o where o.id = b.id and o.ms < b.oldest) < b.looks, true) as trim_done,
      case when b.passed_before > 0 then b.trim_at else clock_timestamp() end as trim_at
    from beyond b
    cross join lateral (
      select exists (select from reading r where r.id = b.id and r.has_unread and r.held_ms is null) as is_locked
    ) as l
    left join lateral (
      select o.ms, o.seq from (
        select * from seen where not l.is_locked union all select * from doomed where l.is_locked
      ) as o
      where o.id = b.id order by o.ms desc, o.seq desc limit 1
    ) as at on true
  )`;
