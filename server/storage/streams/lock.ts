// Locks streams with their groups, before entries are deleted that a group may be reading.
import type { Fragment, Run, Sql } from "../../postgres/connection.js";

/**
 * Locks the streams `s` that match, in the order of their names, and their groups, until the transaction ends. The next
 * statement sees all that was delivered before. A Read that has begun before looks again: see deliver-statement.ts.
 */
export async function lockStreams(run: Run, matches: (sql: Sql) => Fragment): Promise<string[]> {
  const streams = await run<{ id: string }>(
    (sql) =>
      sql`select s.id from stream s where ${matches(sql)} order by s.tenant, s.name for update`,
  );
  const ids = streams.map(({ id }) => id);
  if (ids.length > 0)
    await run(
      (sql) =>
        sql`update stream_group g set trims = g.trims + 1 where g.stream_id = any(${ids}::bigint[])`,
    );
  return ids;
}
