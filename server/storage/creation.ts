// Locks on what does not exist yet. A row that does not exist cannot be locked, and a unique index lets nobody
// but wait for the transaction of who inserted first. So whoever creates a key or a record first takes two
// advisory locks: that of its name, alone, and that of its space (a namespace or a type), shared. A transaction
// that lets nobody else create anything in a space takes the space's lock alone.
import { setTimeout as pause } from "node:timers/promises";
import type { Fragment, Sql } from "../postgres/connection.js";
import type { DatabaseTransaction } from "../postgres/transaction.js";

/**
 * How a statement locks: `try` reports what is locked by others, `wait` waits for it, `held` is for
 * transactions, which have locked the names before.
 */
export type Locking = "try" | "wait" | "held";

/**
 * The most names that one statement or transaction locks. (Postgres keeps all locks in a table of fixed size:
 * 15 000 of one transaction are too many for its default.) Whoever creates more locks the space instead.
 */
export const namesMax = 256;

export type Kind = "entry" | "record";

/** What is created. `name` is not asked for if all the space is meant. */
export interface Name {
  tenant: Fragment;
  space: Fragment;
  name?: Fragment;
}

const lockOf = (sql: Sql, kind: Fragment, { tenant, space, name = sql`''` }: Name): Fragment =>
  sql`lock_of(${kind}, ${tenant}, ${space}, ${name})`;

const nameLock = (sql: Sql, kind: Kind, name: Name): Fragment =>
  lockOf(sql, kind === "entry" ? sql`'key'` : sql`'record'`, name);

const spaceLock = (sql: Sql, kind: Kind, { tenant, space }: Name): Fragment =>
  lockOf(sql, kind === "entry" ? sql`'namespace'` : sql`'type'`, { tenant, space });

/**
 * The lock of a queue before the space's lock. A list that has waited for long takes it alone: transactions
 * that come later and want to create something then wait behind it.
 */
const queueLock = (sql: Sql, { tenant, space }: Name): Fragment =>
  lockOf(sql, sql`'queue'`, { tenant, space });

interface Creation extends Name {
  /** True if there is no row: then the name is locked too. */
  isNew: Fragment;
  /** True if the statement may create more than `namesMax`. */
  many: boolean;
  /**
   * True if it exists now, though the statement does not see it. Asked once the name is locked, by writes that
   * rely on its absence and create nothing under the name: others would fail by the unique index.
   */
  existsNow?: Fragment;
}

/**
 * Locks a name, so that the statement may create it. Null once that is done; `name` or `space` if somebody
 * else holds that lock.
 */
export function lockCreation(
  sql: Sql,
  kind: Kind,
  { isNew, many, existsNow, ...name }: Creation,
  locking: Locking,
): Fragment {
  const space = spaceLock(sql, kind, name);
  const own = nameLock(sql, kind, name);
  const appeared = existsNow ? sql`when ${isNew} and ${existsNow} then 'name'` : sql``;
  if (locking === "try")
    return many
      ? sql`case when not pg_try_advisory_xact_lock(${space}) then 'space' ${appeared} end`
      : sql`case when not pg_try_advisory_xact_lock_shared(${space}) then 'space'
          when ${isNew} and not pg_try_advisory_xact_lock(${own}) then 'name' ${appeared} end`;
  // These functions return void, whose text is empty.
  const shared = sql`pg_advisory_xact_lock_shared(${queueLock(sql, name)})::text || pg_advisory_xact_lock_shared(${space})::text`;
  if (locking === "held") return sql`nullif(${shared}, '')`;
  return many
    ? sql`case when pg_advisory_xact_lock(${space})::text <> '' then null ${appeared} end`
    : sql`case when ${shared} <> '' then null when ${isNew} and pg_advisory_xact_lock(${own})::text <> '' then null ${appeared} end`;
}

const sliceMs = 50;
const pauseMs = 10;
const queueAfterMs = 2000;

/**
 * Waits until nobody else creates anything in the space, and keeps it so until the transaction ends. Whoever
 * wants to create something would wait behind it. So it waits 50 ms at a time, and lets others pass in
 * between. After 2 s it lets only single statements pass: transactions that come later wait behind it.
 */
export async function lockSpace(
  transaction: DatabaseTransaction,
  kind: Kind,
  tenant: string,
  space: string,
): Promise<void> {
  const parts = (sql: Sql): Name => ({ tenant: sql`${tenant}::text`, space: sql`${space}::text` });
  const startedAt = performance.now();
  const [tried] = await transaction.run<{ done: boolean }>(
    (sql) => sql`select pg_try_advisory_xact_lock(${spaceLock(sql, kind, parts(sql))}) as done`,
  );
  if (tried?.done) return;
  const wait = (sql: Sql) =>
    sql`select pg_advisory_xact_lock(${spaceLock(sql, kind, parts(sql))})::text`;
  for (let isQueued = false; !(await transaction.tryLock(wait, sliceMs)); ) {
    await pause(pauseMs * (0.5 + Math.random()));
    if (isQueued || performance.now() - startedAt < queueAfterMs) continue;
    isQueued = true;
    await transaction.run(
      (sql) => sql`select pg_advisory_xact_lock(${queueLock(sql, parts(sql))})::text`,
    );
  }
}

const requestLock = (sql: Sql, tenant: Fragment, id: Fragment): Fragment =>
  // The id is a digest, so nobody can look for one with the same hash.
  sql`hashtextextended(${tenant} || E'\\x01' || ${id}, 0)`;

/**
 * Locks a request id, as everybody does who stores a reply under it. False once that is done; true if another
 * transaction is about to store one.
 */
export function lockRequest(
  sql: Sql,
  { tenant, id }: { tenant: Fragment; id: Fragment },
  locking: Locking,
): Fragment {
  const lock = requestLock(sql, tenant, id);
  return locking === "try"
    ? sql`not pg_try_advisory_xact_lock(${lock})`
    : sql`pg_advisory_xact_lock(${lock})::text <> ''`;
}
