// Brings the schema up to date when a server starts.
import { readdir, readFile } from "node:fs/promises";
import { fromDatabase } from "../errors/sqlstate.js";
import { connect } from "./connection.js";

const migrationsLock = 0x636f7274; // "cort"

/**
 * Applies the files of `migrations/` that the database does not have yet, in order, each in one transaction
 * with its record. Servers that start together take turns: an advisory lock sees to it.
 */
export async function migrate(url: string): Promise<void> {
  const directory = new URL("./migrations/", import.meta.url);
  const files = (await readdir(directory)).filter((file) => file.endsWith(".sql")).sort();
  const sql = connect(url, { max: 1 });
  try {
    await sql`select pg_advisory_lock(${migrationsLock})`;
    await sql`create table if not exists migration (name text primary key, applied_at timestamptz not null default now())`;
    const applied = new Set((await sql`select name from migration`).map((row) => row.name));
    for (const file of files.filter((file) => !applied.has(file))) {
      const text = await readFile(new URL(file, directory), "utf8");
      await sql.begin(async (tx) => {
        await tx.unsafe(text);
        await tx`insert into migration (name) values (${file})`;
      });
    }
  } catch (error) {
    throw fromDatabase(error) ?? error;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
