// Marks in the log of changes.
import type { Fragment, Sql } from "../../postgres/connection.js";

/**
 * The end of a transaction of several statements, as a step of its last statement: so the transaction ranks after
 * all that it has seen.
 */
export const commitMark = (sql: Sql, tenant: string): Fragment => sql`
  insert into change (slot, tenant, store, space, name, kind, is_new, bytes, revision, at)
  select f.slot, ${tenant}, 'mark', '', '', 'commit', false, 0, 0, clock_timestamp() from feed f where f.retention_seconds > 0`;
