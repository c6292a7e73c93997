// What a transaction of several statements locks of that which does not exist yet (creation.ts), and how it
// waits for a whole space.
import { setTimeout as pause } from "node:timers/promises";
import { CortexError } from "../errors/reasons.js";
import type { DatabaseTransaction } from "../postgres/transaction.js";
import { type Kind, lockSpace, namesMax, queueForSpace, type Space } from "./creation.js";

/** Enough for the largest request: 500 names, each in a space of its own, take two locks each. */
const locksMax = 1024;
const sliceMs = 50;
const pauseMs = 10;
const queueAfterMs = 2000;

interface Absence<Row> {
  kind: Kind;
  /** What is to be locked, in the order in which everybody locks it. */
  rows: Row[];
  spaceOf: (row: Row) => Space;
  /** Locks the rows that exist, and gives those that do not, whose names it locks if asked to. */
  lockRows: (rows: Row[], locksNames: boolean) => Promise<Row[]>;
}

export class CreationLocks {
  #names = 0;
  readonly #spaces = new Set<string>();

  /**
   * Locks rows, and what does not exist by its name, or by its space if the names are too many. Gives the
   * spaces that it has locked alone.
   */
  async lock<Row>(
    transaction: DatabaseTransaction,
    { kind, rows, spaceOf, lockRows }: Absence<Row>,
  ): Promise<Space[]> {
    const many = this.#names + rows.length > namesMax;
    const absent = await lockRows(rows, !many);
    if (absent.length === 0) return [];
    const spaces = new Map(absent.map(spaceOf).map((one) => [one.space, one]));
    const sorted = [...spaces.keys()].sort().map((name) => spaces.get(name) as Space);
    if (!many) this.#names += absent.length;
    this.#count(kind, sorted);
    if (many) for (const space of sorted) await waitForSpace(transaction, kind, space);
    await lockRows(absent, false); // somebody may have created one before its name was locked
    return many ? sorted : [];
  }

  /** Waits until nobody else creates anything in the space, and keeps it so until the transaction ends. */
  async lockSpace(transaction: DatabaseTransaction, kind: Kind, space: Space): Promise<void> {
    this.#count(kind, [space]);
    await waitForSpace(transaction, kind, space);
  }

  /** Throws if the transaction would hold too many locks: all transactions share a table of fixed size. */
  #count(kind: Kind, spaces: Space[]): void {
    for (const { tenant, space } of spaces) this.#spaces.add(`${kind}\0${tenant}\0${space}`);
    if (this.#names + 2 * this.#spaces.size > locksMax)
      throw new CortexError("INVALID_TRANSACTION", {
        problem: `it locks too many namespaces and types (limit ${locksMax / 2})`,
      });
  }
}

/**
 * Whoever wants to create something would wait behind a transaction that waits for the space. So it waits
 * 50 ms at a time, and lets others pass in between. After 2 s it waits in the queue: transactions that come
 * later and want to create something wait behind it, and only single statements still pass.
 */
async function waitForSpace(
  transaction: DatabaseTransaction,
  kind: Kind,
  space: Space,
): Promise<void> {
  const startedAt = performance.now();
  for (let isQueued = false; ; ) {
    if (await transaction.tryLock((sql) => lockSpace(sql, kind, space), sliceMs)) return;
    await pause(pauseMs * (0.5 + Math.random()));
    if (isQueued || performance.now() - startedAt < queueAfterMs) continue;
    await transaction.run((sql) => queueForSpace(sql, kind, space));
    isQueued = true;
  }
}
