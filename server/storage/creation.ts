// Locks on what does not exist yet. A row that does not exist cannot be locked, and a unique index lets nobody
// but wait for the transaction of who inserted first. So whoever creates a key or a record first takes two
// advisory locks: that of its name, alone, and that of its space (a namespace or a type), shared. A transaction
// that lets nobody else create anything in a space takes the space's lock alone.
import type { Fragment, Sql } from "../postgres/connection.js";

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
 * The lock of the queue for a space. Transactions of several statements take it shared before they create
 * something. One that has waited for the whole space for long takes it alone: later ones wait behind it.
 */
const queueLock = (sql: Sql, kind: Kind, { tenant, space }: Name): Fragment =>
  lockOf(sql, kind === "entry" ? sql`'namespace queue'` : sql`'type queue'`, { tenant, space });

// The functions that wait return void, whose text is empty.
const lockShared = (sql: Sql, kind: Kind, name: Name): Fragment =>
  sql`pg_advisory_xact_lock_shared(${queueLock(sql, kind, name)})::text || pg_advisory_xact_lock_shared(${spaceLock(sql, kind, name)})::text`;

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
  if (locking === "held") return sql`nullif(${lockShared(sql, kind, name)}, '')`;
  return many
    ? sql`case when pg_advisory_xact_lock(${space})::text <> '' then null ${appeared} end`
    : sql`case when pg_advisory_xact_lock_shared(${space})::text <> '' then null
        when ${isNew} and pg_advisory_xact_lock(${own})::text <> '' then null ${appeared} end`;
}

/** Locks a name for a transaction of several statements, after those who wait for the whole space. */
export const lockName = (sql: Sql, kind: Kind, name: Name): Fragment =>
  sql`${lockShared(sql, kind, name)} || pg_advisory_xact_lock(${nameLock(sql, kind, name)})::text`;

/** A namespace or a type. */
export interface Space {
  tenant: string;
  space: string;
}

const partsOf = (sql: Sql, { tenant, space }: Space): Name => ({
  tenant: sql`${tenant}::text`,
  space: sql`${space}::text`,
});

/**
 * Waits until nobody else creates anything in the space. It takes the queue's lock too: who waits there must
 * wait for this transaction, and not for its space alone, in which this transaction may create something.
 */
export function lockSpace(sql: Sql, kind: Kind, space: Space): Fragment {
  const parts = partsOf(sql, space);
  return sql`
    select pg_advisory_xact_lock_shared(${queueLock(sql, kind, parts)})::text || pg_advisory_xact_lock(${spaceLock(sql, kind, parts)})::text`;
}

/** Waits for the queue's lock. */
export const queueForSpace = (sql: Sql, kind: Kind, space: Space): Fragment =>
  sql`select pg_advisory_xact_lock(${queueLock(sql, kind, partsOf(sql, space))})::text`;

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
