import type { Sql } from "../../server/postgres/connection.js";

/** Returns every row of every table as text, like a dump of the database. */
export async function dump(sql: Sql): Promise<string> {
  const tables = await sql`select tablename from pg_tables where schemaname = 'public' order by 1`;
  const texts = [];
  for (const { tablename } of tables) {
    const rows = await sql`select t::text as row from ${sql(tablename)} t`;
    texts.push(...rows.map(({ row }) => `${tablename} ${row}`));
  }
  return texts.sort().join("\n");
}
