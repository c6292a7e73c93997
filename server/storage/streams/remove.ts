// Deletes streams and groups. What they had is deleted by the next sweeps (sweep.ts).
import type { Fragment, Run, Sql } from "../../postgres/connection.js";
import type { Group } from "./group.js";
import { lockStreams } from "./lock.js";

/**
 * Deletes the streams `s` that match, with their groups. Gives how many there were, and how many entries they had.
 */
export async function removeStreams(
  run: Run,
  matches: (sql: Sql) => Fragment,
): Promise<{ streams: number; entries: number }> {
  const ids = await lockStreams(run, matches);
  if (ids.length === 0) return { streams: 0, entries: 0 };
  // A statement of its own: it sees the groups that were created before the streams were locked.
  const [row] = await run<{ streams: string; entries: string }>(
    (sql) => sql`
      with groups as (
        delete from stream_group g where g.stream_id = any(${ids}::bigint[]) returning g.tenant, g.id
      ), deleted as (
        delete from stream s where s.id = any(${ids}::bigint[]) returning s.tenant, s.id, s.entries
      ), remains as (
        insert into stream_remains (tenant, id)
        select tenant, id from deleted union all select tenant, id from groups
      )
      select count(*) as streams, coalesce(sum(entries), 0) as entries from deleted`,
  );
  return { streams: Number(row?.streams ?? 0), entries: Number(row?.entries ?? 0) };
}

/** Deletes a group. False if there is none. */
export async function removeGroup(run: Run, { tenant, stream, group }: Group): Promise<boolean> {
  const rows = await run(
    (sql) => sql`
      with deleted as (
        delete from stream_group g
        where g.stream_id = (select s.id from stream s where s.tenant = ${tenant} and s.name = ${stream}) and g.name = ${group}
        returning g.tenant, g.id
      )
      insert into stream_remains (tenant, id) select tenant, id from deleted returning id`,
  );
  return rows.length > 0;
}
