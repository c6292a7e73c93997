// A transaction of several statements on a connection of its own. A connection that is lost takes its transaction with it: no statement
// of one ever runs outside of it.
import { setTimeout as pause } from "node:timers/promises";
import { CortexError, fromDatabase } from "../errors/reasons.js";
import type { Executor, Fragment, Run, Sql } from "./connection.js";
import type { Connection } from "./pool.js";

const rollbackMsMax = 2000;
const done = Promise.resolve(true);
const never = new AbortController().signal;

/** Runs statements until it is committed or rolled back. One of both must be called. */
export class DatabaseTransaction {
  readonly #losses: number;
  #ended = false;
  /** Resolves when the statement before has ended. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor(
    readonly connection: Connection,
    readonly executor: Executor,
    readonly signal: AbortSignal,
    /** Takes the connection back; one that is broken is closed. */
    readonly give: (broken: boolean) => void,
  ) {
    this.#losses = connection.losses;
  }

  readonly run: Run = async <T>(build: (sql: Sql) => Fragment) =>
    (await this.#execute(build, this.signal)) as T[];

  /** Is not cancelled: once it is sent, it is seen to its end. */
  async commit(): Promise<void> {
    this.#ended = true;
    let broken = true;
    try {
      await this.#execute((sql) => sql`commit`, never, true);
      broken = this.#lost;
    } finally {
      this.give(broken);
    }
  }

  /** Rolls back what is not committed. Never fails: a connection that cannot roll back is closed, which rolls back too. */
  async rollback(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const rolledBack = this.#execute((sql) => sql`rollback`, never).then(
      () => true,
      () => false,
    );
    const late = pause(rollbackMsMax, false, { ref: false }); // also where a statement before it never ends
    this.give(!(await Promise.race([rolledBack, late])));
  }

  get #lost(): boolean {
    return this.connection.losses !== this.#losses;
  }

  /**
   * Hands one statement at a time to the driver, and none once the connection is lost: what the driver has queued by then it would send
   * on a new connection, outside of the transaction.
   */
  async #execute(build: (sql: Sql) => Fragment, signal: AbortSignal, committing = false) {
    const before = this.#busy;
    const mine = before.then(async () => {
      signal.throwIfAborted();
      if (this.#lost) throw lost();
      try {
        return await this.executor.execute(
          async () => [build(this.connection.sql), done],
          signal,
          1,
        );
      } catch (error) {
        // What was not committed was not applied, whatever became of the connection.
        if (!committing && fromDatabase(error)?.reason === "DATABASE_UNAVAILABLE")
          throw lost(error);
        throw error;
      }
    });
    this.#busy = mine.catch(() => {});
    return mine;
  }
}

const lost = (cause?: unknown) =>
  new CortexError("DATABASE_UNAVAILABLE", { applied: "no" }, { cause });
