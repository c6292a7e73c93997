// A database transaction of several statements on a connection of its own. When the connection is lost, the
// transaction is lost: none of its statements ever runs outside of it.
import { setTimeout as pause } from "node:timers/promises";
import { CortexError } from "../errors/reasons.js";
import { codeOf, fromDatabase } from "../errors/sqlstate.js";
import type { Fragment, Run, Sql } from "./connection.js";
import type { Executor } from "./executor.js";
import type { StartStatement, TenantConnection } from "./tenant-connection.js";

const rollbackMsMax = 2000;
const tenantIsSet = Promise.resolve(true);
const neverAborts = new AbortController().signal;

/** Runs statements until `commit` or `rollback`; the caller must call one of them. */
export class DatabaseTransaction {
  readonly #losses: number;
  #ended = false;
  /** True if a statement failed because the connection was lost. `losses` may count this loss only later. */
  #broken = false;
  /** How many statements are running or waiting to be sent. */
  #running = 0;
  #idleSince = performance.now();
  /** Resolves when the statement before has ended. */
  #previous: Promise<unknown> = Promise.resolve();

  constructor(
    readonly connection: TenantConnection,
    readonly executor: Executor,
    readonly signal: AbortSignal,
    /** Gives the connection back to its pool, which closes a broken one. */
    readonly giveBack: (broken: boolean) => void,
    /** Runs a statement, and tells telemetry of it. */
    readonly told: <T>(execute: () => Promise<T>) => Promise<T>,
  ) {
    this.#losses = connection.losses;
  }

  readonly run: Run = async <T>(build: (sql: Sql) => Fragment) =>
    (await this.#execute(build, this.signal)) as T[];

  /** Runs a statement that waits for locks for at most `ms`. False, and nothing is done, if that was too short. */
  async tryLock(build: (sql: Sql) => Fragment, ms: number): Promise<boolean> {
    await this.run((sql) => sql`savepoint before_lock`);
    try {
      await this.run((sql) => sql`select set_config('lock_timeout', ${`${ms}`}, true)`);
      await this.run(build);
      await this.run((sql) => sql`select set_config('lock_timeout', '0', true)`);
      await this.run((sql) => sql`release before_lock`);
      return true;
    } catch (error) {
      if (codeOf(error) !== "55P03") throw error; // lock_not_available
      await this.run((sql) => sql`rollback to before_lock`);
      await this.run((sql) => sql`release before_lock`);
      return false;
    }
  }

  /** Commits. Once sent it is not cancelled, so that its outcome is known if it can be. */
  async commit(): Promise<void> {
    this.#ended = true;
    let broken = true;
    try {
      await this.#execute((sql) => sql`commit`, neverAborts, true);
      broken = this.#lost;
    } finally {
      this.giveBack(broken);
    }
  }

  /**
   * Rolls back, unless it was committed. Never fails: a connection that cannot roll back is closed, which
   * rolls back too.
   */
  async rollback(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const rolledBack = this.#execute((sql) => sql`rollback`, neverAborts).then(
      () => true,
      () => false,
    );
    const late = pause(rollbackMsMax, false, { ref: false }); // an earlier statement may never end
    this.giveBack(!(await Promise.race([rolledBack, late])));
  }

  /** For how long it has waited for its caller; 0 while a statement runs. */
  get idleMs(): number {
    return this.#running > 0 || this.#ended ? 0 : performance.now() - this.#idleSince;
  }

  get #lost(): boolean {
    return this.#broken || this.connection.losses !== this.#losses;
  }

  /**
   * Hands the driver one statement at a time, and none once the connection is lost. Statements that the
   * driver has queued by then would be sent on a new connection, outside of the transaction.
   */
  async #execute(build: (sql: Sql) => Fragment, signal: AbortSignal, committing = false) {
    const previous = this.#previous;
    this.#running++;
    const current = previous.then(async () => {
      signal.throwIfAborted();
      if (this.#lost) throw connectionLost();
      try {
        const start: StartStatement = async () => [this.connection.build(build), tenantIsSet];
        return await this.told(() => this.executor.execute(this.connection, start, signal, 1));
      } catch (error) {
        if (fromDatabase(error)?.reason !== "DATABASE_UNAVAILABLE") throw error;
        this.#broken = true;
        // Before the commit nothing was applied, whatever became of the connection.
        throw committing ? error : connectionLost(error);
      }
    });
    this.#previous = current
      .catch(() => {})
      .finally(() => {
        this.#running--;
        this.#idleSince = performance.now();
      });
    return current;
  }
}

const connectionLost = (cause?: unknown) =>
  new CortexError("DATABASE_UNAVAILABLE", { applied: "no" }, { cause });
