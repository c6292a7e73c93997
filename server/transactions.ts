// Transactions of several statements, each on a connection of its own, a bounded number at a time. A connection that is lost takes
// its transaction with it: no statement of one ever runs outside of it.
import { setTimeout as pause } from "node:timers/promises";
import {
  connect,
  Executor,
  type Fragment,
  planned,
  type Run,
  type Sql,
  session,
} from "./connection.js";
import { CortexError, codeOf, fromDatabase } from "./errors.js";
import { Turns } from "./turns.js";

const deadlockTimeoutMs = 100;
const rollbackMsMax = 2000;
const idleGraceMs = 10_000;

/** Runs statements until it is committed or rolled back. One of both must be called, once. */
export interface Transaction {
  run: Run;
  /** Is not cancelled: once it is sent, it is seen to its end. */
  commit(): Promise<void>;
  /** Never fails: a connection that cannot roll back is closed, which rolls back too. */
  rollback(): Promise<void>;
}

export interface Limits {
  transactionsMax: number;
  transactionSeconds: number;
  statementSeconds: number;
}

export class Transactions {
  readonly #turns: Turns;
  readonly #executor: Executor;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();

  constructor(
    readonly url: string,
    readonly limits: Limits,
  ) {
    this.#turns = new Turns(limits.transactionsMax);
    this.#executor = new Executor(url, limits.statementSeconds);
  }

  /** Begins a transaction, once there is a connection for it. */
  async begin(signal: AbortSignal): Promise<Transaction> {
    const connection = await this.#take(signal);
    try {
      await this.#execute(connection, (sql) => sql`begin`, signal);
    } catch (error) {
      connection.lost = true; // whatever state it is in
      this.#give(connection);
      throw error;
    }
    return {
      run: async <T>(build: (sql: Sql) => Fragment) =>
        (await this.#execute(connection, build, signal)) as T[],
      commit: async () => {
        try {
          await this.#execute(connection, (sql) => sql`commit`, never, true);
        } catch (error) {
          connection.lost = true;
          throw error;
        } finally {
          this.#give(connection);
        }
      },
      rollback: async () => {
        const rolledBack = this.#execute(connection, (sql) => sql`rollback`, never).then(
          () => true,
          () => false,
        );
        const late = pause(rollbackMsMax, false, { ref: false }); // also where a statement before it never ends
        if (!(await Promise.race([rolledBack, late]))) connection.lost = true;
        this.#give(connection);
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((connection) => connection.close()));
    await this.#executor.close();
  }

  /**
   * Hands one statement at a time to the driver, and none once the connection is lost: what the driver has queued by then it would send
   * on a new connection, outside of the transaction.
   */
  async #execute(
    connection: Connection,
    build: (sql: Sql) => Fragment,
    signal: AbortSignal,
    committing = false,
  ) {
    const before = connection.busy;
    const mine = before.then(async () => {
      signal.throwIfAborted();
      if (connection.lost) throw lost();
      try {
        return await this.#executor.execute(() => build(connection.sql), signal, 1);
      } catch (error) {
        // What was not committed was not applied, whatever became of the connection.
        if (!committing && fromDatabase(error)?.reason === "DATABASE_UNAVAILABLE")
          throw lost(error);
        throw error;
      }
    });
    connection.busy = mine.catch(() => {});
    return mine;
  }

  async #take(signal: AbortSignal): Promise<Connection> {
    await this.#turns.take(signal);
    const kept = this.#idle.pop();
    if (kept && !kept.lost) return kept;
    if (kept) this.#discard(kept);
    const connection = new Connection(this.url, this.limits);
    this.#all.add(connection);
    try {
      await connection.hurry();
      return connection;
    } catch (error) {
      connection.lost = true;
      this.#give(connection);
      throw error;
    }
  }

  #discard(connection: Connection): void {
    this.#all.delete(connection);
    void connection.close();
  }

  #give(connection: Connection): void {
    if (connection.lost) this.#discard(connection);
    else this.#idle.push(connection);
    this.#turns.give();
  }
}

const lost = (cause?: unknown) =>
  new CortexError("DATABASE_UNAVAILABLE", { applied: "no" }, { cause });

const never = new AbortController().signal;

class Connection {
  lost = false;
  /** Resolves when the statement before has ended. */
  busy: Promise<unknown> = Promise.resolve();
  readonly sql: Sql;

  constructor(url: string, { statementSeconds, transactionSeconds }: Limits) {
    this.sql = connect(url, {
      max: 1,
      max_lifetime: null, // it would end in the middle of a transaction
      onclose: () => {
        this.lost = true;
      },
      connection: {
        ...session(statementSeconds),
        ...planned,
        // For a server whose machine is gone.
        idle_in_transaction_session_timeout: Math.round(transactionSeconds * 1000) + idleGraceMs,
      },
    });
  }

  /** Deadlocks are to be found fast. Only some may say so; for the others the database's own setting holds (1 s). */
  async hurry(): Promise<void> {
    try {
      await this.sql`select set_config('deadlock_timeout', ${`${deadlockTimeoutMs}`}, false)`;
    } catch (error) {
      if (codeOf(error) !== "42501") throw error; // insufficient_privilege
    }
  }

  close(): Promise<void> {
    return this.sql.end({ timeout: 1 });
  }
}
