// Starts a real server on its own database, and clients of it. Each test file calls serve() once, at the top
// or in its describe.
import { randomBytes } from "node:crypto";
import pino, { type Logger } from "pino";
import { afterAll, beforeAll, expect, inject } from "vitest";
import { Cortex, type CortexOptions } from "../../client/index.js";
import { type Config, defaults } from "../../server/config/config.js";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { type Running, start } from "../../server/start.js";
import { databaseUrl, templateName } from "./postgres.js";
import { wrongSums } from "./usage.js";

export interface Served {
  address: string;
  databaseUrl: string;
  /** A client of the tenant "", with a long timeout for a busy machine. */
  cortex: Cortex;
  /** A direct connection to the database of the server, to inspect or change it. */
  sql: Sql;
  running: Running;
  client(options?: CortexOptions): Cortex;
  /** A second server on the same database. */
  another(settings?: Partial<Config>, log?: Logger): Promise<Running>;
}

export const testLog = pino({ level: process.env.TEST_LOG ?? "silent" });

/** Clones the migrated template database. `drop` removes the clone. */
export async function cloneDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const postgresUrl = inject("postgresUrl");
  const name = `t_${randomBytes(6).toString("hex")}`;
  const admin = connect(postgresUrl, { max: 1 });
  await admin`select pg_advisory_lock(1)`; // a template cannot be cloned twice at once
  await admin.unsafe(`create database ${name} template ${templateName}`);
  await admin`select pg_advisory_unlock(1)`;
  return {
    url: databaseUrl(postgresUrl, name),
    async drop() {
      await admin.unsafe(`drop database if exists ${name} with (force)`);
      await admin.end();
    },
  };
}

export function serve(settings: Partial<Config> = {}): Served {
  const served = {} as Served;
  const cleanups: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    const database = await cloneDatabase();
    cleanups.push(database.drop);
    const startServer = async (more: Partial<Config> = {}, log = testLog) => {
      const config = { ...defaults, listen: "127.0.0.1:0", drainSeconds: 2, ...settings, ...more };
      const running = await start(config, database.url, log);
      cleanups.push(() => running.stop());
      return running;
    };
    const running = await startServer();
    // Without fetch_types, the driver (3.4.9) never answers reserve() on a new connection.
    const sql = connect(database.url, { max: 4, fetch_types: true });
    cleanups.push(() => sql.end({ timeout: 1 }));
    const client = (options: CortexOptions = {}) => {
      const made = new Cortex({ address: running.address, timeoutMs: 20_000, ...options });
      cleanups.push(() => made.close());
      return made;
    };
    Object.assign(served, {
      address: running.address,
      databaseUrl: database.url,
      cortex: client(),
      sql,
      running,
      client,
      another: startServer,
    });
  });
  afterAll(async () => {
    // Whatever the tests did, the sums that the database keeps are those of the rows.
    const wrong = served.sql ? await wrongSums(served.sql) : [];
    for (const cleanup of cleanups.reverse()) await cleanup();
    expect(wrong).toEqual([]);
  });
  return served;
}
