// Keeps the log of changes: prepares it when a server starts, and keeps it within its time and size. The work is
// done by functions of the database (migrations 0020 and 0024).
import { setTimeout as pause } from "node:timers/promises";
import { codeOf } from "../errors/sqlstate.js";
import type { Fragment, Run, Sql } from "../postgres/connection.js";

export interface FeedSettings {
  /** undefined leaves it as it is in the database. */
  watchRetention: number | undefined;
  watchBytesMax: number | undefined;
}

const attemptsMax = 300;
const attemptPauseMs = 100;

/**
 * Sets how much the log keeps, and begins it anew if it is of another database. Waits until the transactions that
 * write have ended.
 */
export async function prepareFeed(
  run: Run,
  { watchRetention, watchBytesMax }: FeedSettings,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run(
        (sql) =>
          sql`select set_feed(${watchRetention ?? null}::float8, ${watchBytesMax ?? null}::bigint)`,
      );
      return;
    } catch (error) {
      if (codeOf(error) !== "55P03") throw error; // lock_not_available
      if (attempt >= attemptsMax)
        throw new Error(
          "the log of changes cannot be set up: transactions that write are still open on this database (see pg_stat_activity); end them, then start the server again",
          { cause: error },
        );
      await pause(attemptPauseMs);
    }
  }
}

const parts: ((sql: Sql) => Fragment)[] = [
  (sql) => sql`select tend_feed()`,
  (sql) => sql`select truncate_changes()`,
  (sql) => sql`select tend_events()`,
];

/** Closes, turns and truncates partitions of the log. Each part is done even if another one fails. */
export async function tendFeed(run: Run): Promise<void> {
  let failure: unknown;
  for (const part of parts)
    await run(part).catch((error: unknown) => {
      failure ??= error;
    });
  if (failure) throw failure;
}
