// Deletes what streams and groups had that were deleted, in bounded statements.
import type { Run } from "../../postgres/connection.js";

const batchMax = 1000;

/** Returns how many rows it deleted. */
export async function sweepStreams(run: Run): Promise<number> {
  for (let total = 0; ; ) {
    const [row] = await run<{ deleted: string }>(
      (sql) => sql`
        with gone as materialized (
          select r.id from stream_remains r order by r.id limit 1 for update skip locked
        ), entries as (
          delete from stream_entry e using (
            select e.stream_id, e.ms, e.seq from stream_entry e where e.stream_id = (select id from gone) limit ${batchMax}::int
          ) as o
          where e.stream_id = o.stream_id and e.ms = o.ms and e.seq = o.seq returning 1
        ), pending as (
          delete from stream_pending p using (
            select p.group_id, p.ms, p.seq from stream_pending p where p.group_id = (select id from gone) limit ${batchMax}::int
          ) as o
          where p.group_id = o.group_id and p.ms = o.ms and p.seq = o.seq returning 1
        ), done as (
          delete from stream_remains r using gone
          where r.id = gone.id and not exists (select from entries) and not exists (select from pending) returning 1
        )
        select (select count(*) from entries) + (select count(*) from pending) + (select count(*) from done) as deleted`,
    );
    const deleted = Number(row?.deleted ?? 0);
    total += deleted;
    if (deleted === 0) return total;
  }
}
