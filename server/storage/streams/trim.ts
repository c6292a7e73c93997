// Trims a stream, in transactions that each delete a bounded number of entries: so appends wait for none of them for
// long. Each leaves a record in the audit trail.
import type { Call } from "../../grpc/call.js";
import type { Run } from "../../postgres/connection.js";
import type { EntryId } from "../../validation/stream-fields.js";
import { audit } from "../audit/audit.js";
import { purgeTransaction } from "../audit/purge.js";
import type { Guard } from "../guard.js";
import { type IdempotencyKey, storeReply } from "../idempotency.js";
import { lockStreams } from "./lock.js";

/** What is deleted: the oldest entries beyond each of these. */
export interface Bounds {
  maxLen: number | undefined;
  maxAgeSeconds: number | undefined;
  before: EntryId | undefined;
  includePending: boolean;
}

/** What was deleted up to now, as the stored reply has it. */
interface Trimmed {
  total: number;
  /** How many stay of those that it has looked at. */
  kept: number;
  /** Where to go on; undefined: it is done. */
  after?: EntryId | undefined;
}

const passMax = 5000;

/** Returns how many entries were deleted. */
export async function trimStream(
  call: Call,
  stream: string,
  bounds: Bounds,
  { key, guard }: { key: IdempotencyKey | undefined; guard: Guard | undefined },
): Promise<number> {
  const { tenant } = call.caller;
  let after: EntryId | undefined = { ms: 0, seq: 0 };
  let total = 0;
  let kept = 0;
  while (after) {
    const from = { ...after, kept };
    const before = total;
    const trimmed: Trimmed = (await purgeTransaction<Trimmed>(
      call,
      key,
      { removal: "purge", guard },
      async (run) => {
        await lockStreams(run, (sql) => sql`s.tenant = ${tenant} and s.name = ${stream}`);
        const { deleted, kept, after } = await trimPass(run, tenant, stream, bounds, from);
        if (deleted > 0) {
          const { maxLen, maxAgeSeconds, before: beforeId, includePending } = bounds;
          const asked = { stream, maxLen, maxAgeSeconds, beforeId, includePending };
          await audit(call, run, { action: "Streams.Trim", asked, deleted: { entries: deleted } });
        }
        const reply = { total: before + deleted, kept, after };
        if (!after && key)
          await storeReply(run, tenant, key, { reply: JSON.stringify(reply), userIds: [] });
        return reply;
      },
    )) as Trimmed; // the work refuses nothing
    ({ total, kept, after } = trimmed);
  }
  return total;
}

interface Pass {
  deleted: string;
  kept: string;
  /** The last entry that it looked at. */
  ms: string | null;
  seq: string | null;
  /** True if entries beyond the bounds may follow. */
  more: boolean;
}

/** Looks at the next entries, and deletes those that are beyond the bounds. */
async function trimPass(
  run: Run,
  tenant: string,
  stream: string,
  { maxLen, maxAgeSeconds, before, includePending }: Bounds,
  from: EntryId & { kept: number },
): Promise<{ deleted: number; kept: number; after: EntryId | undefined }> {
  const [pass] = await run<Pass>((sql) => {
    // True if the entry `o` of the stream `t` is deleted; `place` is its place in the stream.
    const isBeyond = () =>
      [
        ...(maxLen === undefined ? [] : [sql`o.place <= t.entries - ${`${maxLen}`}::bigint`]),
        ...(maxAgeSeconds === undefined ? [] : [sql`o.ms < t.oldest`]),
        ...(before
          ? [sql`(o.ms, o.seq) < (${`${before.ms}`}::bigint, ${`${before.seq}`}::bigint)`]
          : []),
      ].reduce((one, other) => sql`${one} or ${other}`);
    return sql`
      with target as materialized (
        select s.id, s.entries, (extract(epoch from clock_timestamp()) * 1000 - ${maxAgeSeconds ?? null}::float8 * 1000)::bigint as oldest
        from stream s where s.tenant = ${tenant} and s.name = ${stream}
      ), seen as materialized (
        select e.*, ${from.kept}::int + row_number() over (order by e.ms, e.seq) as place from (
          select e.stream_id, e.ms, e.seq from target t join stream_entry e on e.stream_id = t.id
          where (e.ms, e.seq) > (${`${from.ms}`}::bigint, ${`${from.seq}`}::bigint)
          order by e.ms, e.seq limit ${passMax}
        ) as e
      ), doomed as materialized (
        select o.stream_id, o.ms, o.seq
        from target t cross join (
          select o.* from seen o
          where ${
            includePending
              ? sql`true`
              : sql`not exists (
            select from stream_group g join stream_pending p on p.group_id = g.id and p.ms = o.ms and p.seq = o.seq where g.stream_id = o.stream_id)`
          }
        ) as o
        where ${isBeyond()}
      ), unpended as (
        delete from stream_pending p using doomed d, stream_group g
        where ${includePending} and g.stream_id = d.stream_id and p.group_id = g.id and p.ms = d.ms and p.seq = d.seq
      ), deleted as (
        delete from stream_entry e using doomed d where e.stream_id = d.stream_id and e.ms = d.ms and e.seq = d.seq returning e.bytes
      ), counted as materialized (
        select count(*) as entries, coalesce(sum(bytes), 0) as bytes from deleted
      ), updated as (
        update stream s set entries = s.entries - c.entries, bytes = s.bytes - c.bytes, trim_ms = 0, trim_seq = 0, passed = 0
        from counted c where s.tenant = ${tenant} and s.name = ${stream} and c.entries > 0
      )
      select c.entries as deleted, ${from.kept}::int + (select count(*) from seen) - c.entries as kept, last.ms, last.seq,
        (select count(*) from seen) = ${passMax} and exists (
          select from target t, (select last.ms, last.seq, last.place + 1 as place) as o where ${isBeyond()}
        ) as more
      from counted c left join lateral (select o.* from seen o order by o.ms desc, o.seq desc limit 1) as last on true`;
  });
  const { deleted, kept, ms, seq, more } = pass as Pass;
  return {
    deleted: Number(deleted),
    kept: Number(kept),
    after: more ? { ms: Number(ms), seq: Number(seq) } : undefined,
  };
}
