import type { Sql } from "../../server/postgres/connection.js";

/**
 * Returns every row of every table as text, like a dump of the database. Of the sums, it has those of both
 * tables together: the server folds one into the other all the time.
 */
export async function dump(sql: Sql): Promise<string> {
  const tables = await sql`select tablename from pg_tables where schemaname = 'public' order by 1`;
  const texts = [];
  for (const { tablename } of tables) {
    if (/^usage(_delta)?$/.test(tablename)) continue;
    if (/^change_\d+$/.test(tablename)) continue; // a partition of `change`
    if (/^(feed(_snapshot|_closed|_share)?|event_life|event_snapshot)$/.test(tablename)) continue; // the server moves on by itself
    const rows = await sql`select t::text as row from ${sql(tablename)} t`;
    texts.push(...rows.map(({ row }) => `${tablename} ${row}`));
  }
  const sums = await sql`
    select row(tenant, kind, space, sum(rows), sum(versions), sum(bytes), sum(metadata_bytes))::text as row
    from (select * from usage where space <> '' or kind in ('user', 'claim', 'stream', 'pending') union all select * from usage_delta) as u
    group by tenant, kind, space
    having sum(rows) <> 0 or sum(versions) <> 0 or sum(bytes) <> 0 or sum(metadata_bytes) <> 0`;
  texts.push(...sums.map(({ row }) => `usage ${row}`));
  return texts.sort().join("\n");
}
