// The one statement that appends entries. Its steps, in the order of the statement:
//   guard         locks the claims that guard the writes
//   asked         the writes: locks their request ids, and looks for stored replies
//   entry         the entries: locks their users
//   target        locks the streams; a stream that does not exist is locked by its name
//   judged        why a write is refused, if it is
//   numbered      gives ids to the entries of the writes that are not refused
//   beyond        by how much a stream exceeds its limits
//   trimmed       deletes them: the oldest that every group is done with, or has not read
//   fresh         the new entries that are not beyond the limits themselves
//   appended      writes these
//   created, updated   the streams
//   stored_reply  stores the replies of the writes that have a request id
import type { Fragment, Sql } from "../../postgres/connection.js";
import { recordset } from "../../postgres/recordset.js";
import {
  type CommonRefusal,
  commonRefusals,
  replyColumn,
  requestColumns,
  type StoredBefore,
} from "../claims/admission.js";
import { guards } from "../claims/guard.js";
import type { StatementMode } from "../write-path.js";
import { trim } from "./append-trim.js";
import type { AppendWrite } from "./new-entries.js";

const writeRows = recordset("asked", {
  write: "int",
  tenant: "text",
  stream: "text",
  entries: "int",
  bytes: "bigint",
  max_len: "bigint",
  max_age: "float8",
  is_known: "boolean",
  room_keys: "bigint",
  room_bytes: "bigint",
  request: "text",
  fingerprint: "text",
});

const entryRows = recordset("entry", {
  write: "int",
  place: "int",
  tenant: "text",
  data: "text",
  user_id: "text",
  agent: "text",
  ms: "bigint",
  seq: "bigint",
});

/** A row of the statement's answer: one for each write. */
export interface AppendRow extends StoredBefore {
  refusal:
    | CommonRefusal
    | "STREAM_LOCKED"
    | "STREAM_UNKNOWN"
    | "USER_NOT_FOUND"
    | "USER_LOCKED"
    | "ENTRY_ID_TOO_LOW"
    | "QUOTA_KEYS"
    | "QUOTA_BYTES"
    | null;
  /** The first entry whose user is missing or locked. */
  user_place: number | null;
  /** The id of the first entry. */
  ms: string | null;
  seq: string | null;
  /** The last id of the stream before. */
  last_ms: string | null;
  last_seq: string | null;
}

/** The highest number that part of an id may be, and the one above which ids go on in the next millisecond. */
const partMax = Number.MAX_SAFE_INTEGER;
const seqMax = partMax - 1_000_000; // a statement appends fewer

export function statement(
  sql: Sql,
  writes: AppendWrite[],
  { locking }: Pick<StatementMode, "locking">,
): Fragment {
  const asked = writes.map((w, write) => ({
    write,
    tenant: w.tenant,
    stream: w.stream,
    entries: w.entries.length,
    bytes: `${w.adds.bytes}`,
    max_len: w.maxLen === undefined ? undefined : `${w.maxLen}`,
    max_age: w.maxAgeSeconds,
    is_known: w.isKnown,
    room_keys: w.room && `${w.room.keys}`,
    room_bytes: w.room && `${w.room.bytes}`,
    request: w.idempotencyKey?.id,
    fingerprint: w.idempotencyKey?.fingerprint,
  }));
  const entries = writes.flatMap(({ tenant, agent, entries }, write) =>
    entries.map(({ data, userId, id }, place) => ({
      write,
      place,
      tenant,
      data,
      user_id: userId,
      agent,
      ms: id && `${id.ms}`,
      seq: id && `${id.seq}`,
    })),
  );
  const tries = locking === "try";
  const skipLocked = tries ? sql`skip locked` : sql``;
  const hasGuards = writes.some(({ guard }) => guard);
  const hasRequests = writes.some(({ idempotencyKey }) => idempotencyKey);
  const hasUsers = entries.some(({ user_id }) => user_id !== undefined);
  const trims = writes.some((w) => w.maxLen !== undefined || w.maxAgeSeconds !== undefined);
  const trimColumns = (column: (name: string) => Fragment): Fragment =>
    ["trim_ms", "trim_seq", "passed", "trim_done", "trim_at"].reduce(
      (columns, name) => sql`${columns}, ${column(name)}`,
      sql``,
    );
  const nameLock = sql`lock_of('stream', t.tenant, '', t.stream)`;
  return sql`
    with ${hasGuards ? sql`guard as materialized (${guards(sql, writes, tries)}),` : sql``}
    asked as materialized (
      select asked.*, ${requestColumns(sql, { hasRequests }, locking)}
      from ${writeRows(sql, asked)} ${hasGuards ? sql`join (select count(*) from guard) as guarded on true` : sql``}
    ), entry as materialized (
      select entry.*, ${hasUsers ? sql`entry.user_id is null or u.id is not null` : sql`true`} as user_held
      from ${entryRows(sql, entries)}
      ${
        hasUsers
          ? sql`join (select count(*) from asked) as after_asked on true
            left join lateral (
              select u.id from users u where u.tenant = entry.tenant and u.id = entry.user_id for key share ${skipLocked}
            ) as u on true`
          : sql``
      }
    ), first as materialized ( -- the first entry of each write, and the first of those whose users are missing or locked
      select e.write, min(e.ms) filter (where e.place = 0) as ms, min(e.seq) filter (where e.place = 0) as seq,
        min(e.place) filter (where not e.user_held) as user_place
      from entry e group by e.write
    ), target as materialized (
      select t.tenant, t.stream, coalesce(held.id, nextval('stream_number')) as id, held.id is null as is_new,
        coalesce(held.last_ms, 0) as last_ms, coalesce(held.last_seq, 0) as last_seq, coalesce(held.entries, 0) as entries,
        coalesce(held.bytes, 0) as bytes, held.groups, coalesce(held.trim_ms, 0) as trim_ms, coalesce(held.trim_seq, 0) as trim_seq,
        coalesce(held.passed, 0) as passed, held.trim_done, held.trim_at,
        case when held.id is not null then false
          when exists (select from stream s where s.tenant = t.tenant and s.name = t.stream) then true
          else ${tries ? sql`not pg_try_advisory_xact_lock(${nameLock})` : sql`pg_advisory_xact_lock(${nameLock})::text <> ''`}
        end as blocked,
        next.now_ms, next.ms as next_ms, case when next.ms > coalesce(held.last_ms, 0) then 0 else held.last_seq + 1 end as next_seq
      from (select distinct asked.tenant, asked.stream from asked, (select count(*) from first) as after_users order by 1, 2) as t
      left join lateral (
        select s.id, s.last_ms, s.last_seq, s.entries, s.bytes, s.groups, s.trim_ms, s.trim_seq, s.passed, s.trim_done, s.trim_at
        from stream s where s.tenant = t.tenant and s.name = t.stream for update ${skipLocked}
      ) as held on true
      cross join lateral (
        select now.ms as now_ms,
          greatest(now.ms, case when held.last_seq > ${`${seqMax}`}::bigint then held.last_ms + 1 else held.last_ms end) as ms
        from (select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms offset 0) as now
      ) as next
    ), judged as materialized (
      select asked.write, asked.tenant, asked.stream, asked.entries as adds, asked.max_len, asked.max_age, asked.request, asked.fingerprint, asked.repeats,
        target.id, target.last_ms, target.last_seq, target.entries, target.now_ms, target.next_ms, target.next_seq, first.user_place, case
          ${commonRefusals(sql, { hasGuards }, sql`asked`)}
          when target.blocked then 'STREAM_LOCKED'
          ${
            hasUsers
              ? sql`when first.user_place is not null then case when exists (
                  select from entry e join users u on u.tenant = asked.tenant and u.id = e.user_id where e.write = asked.write and e.place = first.user_place
                ) then 'USER_LOCKED' else 'USER_NOT_FOUND' end`
              : sql``
          }
          when case when first.ms is null then target.next_ms > ${`${partMax}`}::bigint else (first.ms, first.seq) <= (target.last_ms, target.last_seq) end
            then 'ENTRY_ID_TOO_LOW'
          when target.is_new and asked.is_known then 'STREAM_UNKNOWN'
          when target.is_new and asked.room_keys < 1 then 'QUOTA_KEYS'
          when asked.room_bytes < asked.bytes then 'QUOTA_BYTES'
        end as refusal
      from asked join target using (tenant, stream) join first on first.write = asked.write
    ), numbered as materialized (
      select e.write, e.place, j.tenant, j.id, e.data, e.user_id, e.agent, coalesce(e.ms, j.next_ms) as ms,
        coalesce(e.seq, j.next_seq - 1 + row_number() over (partition by j.id order by e.write, e.place)) as seq,
        row_number() over (partition by j.id order by e.write, e.place) as number, count(*) over (partition by j.id) as total
      from judged j join entry e on e.write = j.write where j.refusal is null
    ) ${trims ? trim(sql) : sql``}, fresh as materialized (
      select n.* from numbered n ${
        trims
          ? sql`left join beyond b on b.id = n.id where n.number > coalesce(b.surplus - b.entries, 0)`
          : sql``
      }
    ), appended as (
      insert into stream_entry (tenant, stream_id, ms, seq, data, user_id, agent_id)
      select tenant, id, ms, seq, data::json, user_id, agent from fresh order by id, ms, seq
    ), change as materialized (
      select id, sum(entries) as entries, sum(bytes) as bytes from (
        select f.id, count(*) as entries, sum(octet_length(f.data)) as bytes from fresh f group by f.id
        ${trims ? sql`union all select r.stream_id, -count(*), -sum(r.bytes) from trimmed r group by r.stream_id` : sql``}
      ) as c group by id
    ), state as materialized (
      select t.tenant, t.stream, t.id, t.is_new, last.ms, last.seq, t.entries + c.entries as entries, t.bytes + c.bytes as bytes
        ${trims ? trimColumns((name) => sql`coalesce(p.${sql(name)}, t.${sql(name)}) as ${sql(name)}`) : sql``}
      from target t join numbered last on last.id = t.id and last.number = last.total join change c on c.id = t.id
      ${trims ? sql`left join trim_place p on p.id = t.id` : sql``}
    ), created as (
      insert into stream (tenant, name, id, last_ms, last_seq, entries, bytes)
      select tenant, stream, id, ms, seq, entries, bytes from state where is_new order by 1, 2
    ), updated as (
      -- An insert that always conflicts, since we have locked these rows: see storage/entries/statement.ts.
      insert into stream as s (tenant, name, id, last_ms, last_seq, entries, bytes ${trims ? trimColumns((name) => sql`${sql(name)}`) : sql``})
      select tenant, stream, id, ms, seq, entries, bytes ${trims ? trimColumns((name) => sql`${sql(name)}`) : sql``} from state where not is_new order by 1, 2
      on conflict (tenant, name) do update set
        last_ms = excluded.last_ms, last_seq = excluded.last_seq, entries = excluded.entries, bytes = excluded.bytes
        ${trims ? trimColumns((name) => sql`${sql(name)} = excluded.${sql(name)}`) : sql``}
    )
    ${
      hasRequests
        ? sql`, stored_reply as (
            insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
            select j.tenant, j.request, seal(j.fingerprint), json_build_object('ms', n.ms, 'seq', n.seq), '{}', 32
            from judged j join numbered n on n.write = j.write and n.place = 0
            where j.request is not null)`
        : sql``
    }
    select j.refusal, j.user_place, n.ms, n.seq, j.last_ms, j.last_seq, j.repeats, ${replyColumn(sql, { hasRequests }, sql`j`)}
    from judged j left join numbered n on n.write = j.write and n.place = 0
    order by j.write`;
}
