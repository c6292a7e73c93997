// Prepares the database when a server starts: waits until Postgres answers, checks it, and brings the schema
// up to date. What cannot work is said in one sentence.
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { connect, type Sql } from "./connection.js";
import { explain, mayPass, placeOf } from "./explain.js";
import { type Migrated, migrate } from "./migrate.js";

/** The database cannot be used; the message is one sentence for the operator. */
export class DatabaseProblem extends Error {}

export interface Prepared extends Migrated {
  /** The version of Postgres, for example 18.4. */
  postgres: string;
}

interface PrepareOptions {
  /** How long to wait for a Postgres that does not answer. */
  waitSeconds: number;
  /** How many connections all workers of this server may open. */
  connections: number;
  signal?: AbortSignal | undefined;
}

const retryMs = 500;
const reportMs = 5000;
const oldestPostgres = 15;

export async function prepareDatabase(
  url: string,
  options: PrepareOptions,
  log: Logger,
): Promise<Prepared> {
  const startedAt = performance.now();
  let reportedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    const sql = connect(url, { max: 1 });
    try {
      return await prepare(sql, url, options, log);
    } catch (error) {
      const problem = explain(error, url);
      if (problem === undefined) throw error;
      const now = performance.now();
      const waited = (now - startedAt) / 1000;
      if (!mayPass(error)) throw new DatabaseProblem(problem, { cause: error });
      if (waited >= options.waitSeconds)
        throw new DatabaseProblem(
          options.waitSeconds > 0 ? `${problem} (waited for ${Math.round(waited)} s)` : problem,
          { cause: error },
        );
      if (now - reportedAt >= reportMs) {
        reportedAt = now;
        log.info({ problem, seconds: Math.round(waited) }, "waiting for the database");
      }
    } finally {
      await sql.end({ timeout: 1 });
    }
    await pause(retryMs, undefined, { signal: options.signal });
  }
}

async function prepare(
  sql: Sql,
  url: string,
  { connections, signal }: PrepareOptions,
  log: Logger,
): Promise<Prepared> {
  const [row] = await sql`
    select current_setting('server_version') as version, current_setting('server_version_num')::int / 10000 as major,
      least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
        nullif((select datconnlimit from pg_database where datname = current_database()), -1),
        nullif((select rolconnlimit from pg_roles where rolname = current_user), -1)
      ) as connections`;
  const { address, role, database } = placeOf(url);
  const [postgres = ""] = String(row?.version).split(" ");
  if (row?.major < oldestPostgres)
    throw new DatabaseProblem(
      `Postgres at ${address} is version ${postgres}, and the server needs ${oldestPostgres} or newer`,
    );
  const migrated = await migrate(sql, log, signal);
  if (row?.connections < connections)
    log.warn(
      { allowed: row?.connections, needed: connections },
      `Postgres at ${address} allows the role ${role} ${row?.connections} connections to the database ${database}, and this server may open ${connections}: raise the limit, or lower --pool-size, --transactions-max or --workers`,
    );
  return { postgres, ...migrated };
}
