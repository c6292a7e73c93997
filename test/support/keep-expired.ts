import { afterAll, beforeAll } from "vitest";
import { connect, type Sql } from "../../server/postgres/connection.js";
import { sweepLock } from "../../server/storage/entries/sweep.js";
import type { Served } from "./server.js";

/** Keeps the rows of entries that have expired, as if the server had not come to delete them yet. */
export function keepExpired(s: Served): void {
  let sql: Sql;
  beforeAll(async () => {
    sql = connect(s.databaseUrl, { max: 1 });
    await sql`select pg_advisory_lock(${sweepLock})`;
  });
  afterAll(() => sql.end());
}
