// Applies the migrations that rewrite data, named `….background.sql`, while the server serves. A file
// rewrites one batch of rows, in a transaction, and is run again until no row is left; for some files, code
// does. A file that says `concurrently` builds an index without blocking writes.
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { version } from "../config/version.js";
import { connect, type Sql } from "./connection.js";
import { migrationFile, nameOf } from "./migration-files.js";
import type { DatabaseMonitor } from "./monitor.js";

const backgroundLock = 0x636f7262; // "corb"
const retryMs = 1000;
const reportMs = 5000;

export interface Batch {
  rows: number;
  /** True if rows may be left. */
  more: boolean;
}

/** Rewrites a batch of rows. */
export type Rewrite = (sql: Sql) => Promise<Batch>;

/** A migration whose rows are rewritten by code. */
export interface CodedMigration {
  file: string;
  rewrite: Rewrite;
  /** Is called once the migration is applied, by whichever server. */
  applied(): void;
}

export interface BackgroundMigrations {
  stop(): Promise<void>;
}

/** Starts to apply the files, one after the other, on a connection of its own. */
export function migrateInBackground(
  url: string,
  files: string[],
  coded: CodedMigration[],
  log: Logger,
  monitor: DatabaseMonitor,
): BackgroundMigrations {
  const stopping = new AbortController();
  const running = run(url, files, coded, log, monitor, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

async function run(
  url: string,
  files: string[],
  coded: CodedMigration[],
  log: Logger,
  monitor: DatabaseMonitor,
  signal: AbortSignal,
): Promise<void> {
  for (const file of files) {
    const code = coded.find((one) => one.file === file);
    const work = `apply the migration ${nameOf(file)} in the background`;
    while (!signal.aborted) {
      const sql = connect(url, { max: 1 });
      // A stop waits for no statement: an index may take minutes to build.
      const giveUp = () => void sql.end({ timeout: 0 });
      signal.addEventListener("abort", giveUp, { once: true });
      try {
        if (await applyAlone(sql, file, code?.rewrite, log, signal)) {
          monitor.did(work);
          code?.applied();
          break;
        }
      } catch (error) {
        if (!signal.aborted) monitor.cannot(work, error);
      } finally {
        signal.removeEventListener("abort", giveUp);
        await sql.end({ timeout: 1 });
      }
      await pause(retryMs, undefined, { signal }).catch(() => {});
    }
  }
}

/** Applies the file unless another server is about to. Gives true if it is applied. */
async function applyAlone(
  sql: Sql,
  file: string,
  rewrite: Rewrite | undefined,
  log: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  const [row] = await sql`select pg_try_advisory_lock(${backgroundLock}) as ours`;
  if (!row?.ours) return false;
  const [applied] = await sql`select from migration where name = ${file}`;
  return applied !== undefined || applyInBackground(sql, file, log, rewrite, signal);
}

/** Applies the file. Gives false if the signal aborted it. */
export async function applyInBackground(
  sql: Sql,
  file: string,
  log: Logger,
  rewrite?: Rewrite,
  signal?: AbortSignal,
): Promise<boolean> {
  const text = await readFile(migrationFile(file), "utf8");
  if (/\bconcurrently\b/.test(text))
    // Each statement by itself: together they would be a transaction, in which no index is built so.
    for (const statement of text.split(/;\n/)) await sql.unsafe(statement);
  else if (!(await rewriteAll(sql, file, rewrite ?? bySql(text), log, signal))) return false;
  await sql`insert into migration (name, server_version) values (${file}, ${version})`;
  return true;
}

/** Runs the file for each batch. Its last statement selects `rows` and `more`. */
const bySql =
  (text: string): Rewrite =>
  async (sql) => {
    const results = await sql.begin((tx) => tx.unsafe(text));
    const [batch] = [results].flat(2).slice(-1) as unknown as [{ rows: string; more: boolean }];
    return { rows: Number(batch.rows), more: batch.more };
  };

/** Rewrites batches until no row is left. */
async function rewriteAll(
  sql: Sql,
  file: string,
  rewrite: Rewrite,
  log: Logger,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const startedAt = performance.now();
  let reportedAt = startedAt;
  for (let rows = 0; !signal?.aborted; ) {
    const batch = await rewrite(sql);
    rows += batch.rows;
    const now = performance.now();
    const seconds = Math.round((now - startedAt) / 100) / 10;
    if (!batch.more) {
      if (rows > 0) log.info({ rows, seconds }, `applied the migration ${nameOf(file)}`);
      return true;
    }
    if (now - reportedAt >= reportMs) {
      reportedAt = now;
      log.info({ rows, seconds }, `the migration ${nameOf(file)} is running in the background`);
    }
    if (batch.rows === 0) await pause(retryMs, undefined, { signal }).catch(() => {}); // all are locked
  }
  return false;
}
