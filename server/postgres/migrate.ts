// Brings the schema up to date when a server starts.
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { version } from "../config/version.js";
import { applyInBackground } from "./background-migrations.js";
import type { Sql } from "./connection.js";
import { isInBackground, migrationFile, migrationFiles, nameOf } from "./migration-files.js";

const migrationsLock = 0x636f7274; // "cort"
const turnPauseMs = 200;
const reportMs = 5000;

/** The database has a schema that this server cannot use; the message says why. */
export class SchemaError extends Error {}

export interface Migrated {
  /** The number of migrations that the schema has now. */
  migrations: number;
  /** How many of them this call applied. */
  applied: number;
  /** The files that are still to be applied, in the background. */
  background: string[];
}

/**
 * Applies the files of `migrations/` that the database does not have yet, in order, each in one transaction
 * with its record. Those that rewrite data are left to `background-migrations.ts`. Servers that start
 * together take turns: an advisory lock sees to it.
 */
export async function migrate(sql: Sql, log: Logger, signal?: AbortSignal): Promise<Migrated> {
  const files = await migrationFiles();
  await takeTurn(sql, log, signal);
  await createTable(sql);
  const rows = await sql`select name, server_version from migration order by name`;
  const applied = new Set(rows.map((row) => row.name));
  const unknown = rows.filter(({ name }) => !files.includes(name)).at(-1);
  if (unknown)
    throw new SchemaError(
      `the schema of the database is newer than this server: it has ${nameOf(unknown.name)} of cortex-store ${unknown.server_version ?? "of a later release"}, and cortex-store ${version} knows it up to ${nameOf(files.at(-1) ?? "")}: start that release or a later one`,
    );
  const missing = files.filter((file) => !applied.has(file));
  const isUpgrade = applied.size > 0;
  if (isUpgrade && missing.length > 0)
    log.info(
      {},
      `upgrading the schema from ${nameOf(rows.at(-1)?.name)} to ${nameOf(files.at(-1) ?? "")}`,
    );
  const background: string[] = [];
  for (const file of missing) {
    if (!isInBackground(file)) {
      const seconds = await apply(sql, file, log);
      if (isUpgrade) log.info({ seconds }, `applied the migration ${nameOf(file)}`);
    } else if (isUpgrade) background.push(file);
    else await applyInBackground(sql, file, log); // a new database has no rows to rewrite
  }
  return { migrations: files.length, applied: missing.length - background.length, background };
}

/** Waits while another server migrates. */
async function takeTurn(sql: Sql, log: Logger, signal?: AbortSignal): Promise<void> {
  for (let waited = 0; ; waited += turnPauseMs) {
    const [row] = await sql`select pg_try_advisory_lock(${migrationsLock}) as ours`;
    if (row?.ours) return;
    if (waited % reportMs === 0)
      log.info({}, "another server brings the schema up to date: waiting for it");
    await pause(turnPauseMs, undefined, { signal });
  }
}

/** A role that may create nothing can still start a server on a schema that is up to date. */
async function createTable(sql: Sql): Promise<void> {
  const [row] = await sql`
    select exists (select from pg_attribute where attrelid = to_regclass('migration') and attname = 'server_version') as current`;
  if (row?.current) return;
  await sql`create table if not exists migration (name text primary key, applied_at timestamptz not null default now())`;
  await sql`alter table migration add column if not exists server_version text`;
}

/** Gives how many seconds it took. */
async function apply(sql: Sql, file: string, log: Logger): Promise<number> {
  const text = await readFile(migrationFile(file), "utf8");
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 100) / 10;
  const report = setInterval(
    () =>
      log.info({ migration: nameOf(file), seconds: seconds() }, "the migration is still running"),
    reportMs,
  );
  try {
    await sql.begin(async (tx) => {
      await tx.unsafe(text);
      // The time is that after the locks of the migration: what an older server wrote is older.
      await tx`insert into migration (name, server_version, applied_at) values (${file}, ${version}, clock_timestamp())`;
    });
  } finally {
    clearInterval(report);
  }
  return seconds();
}
