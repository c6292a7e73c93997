// Transactions of several statements, each on a connection of its own, a bounded number at a time. A connection that is lost takes
// its transaction with it: no statement of one ever runs outside of it.
import {
  connect,
  Executor,
  type Fragment,
  planned,
  type Run,
  refusing,
  type Sql,
  session,
} from "./connection.js";
import { CortexError, codeOf, fromDatabase } from "./errors.js";
import { Turns } from "./turns.js";

const deadlockTimeoutMs = 100;
const rollbackMsMax = 2000;

/** Runs statements until it is committed or rolled back. One of both must be called, once. */
export interface Transaction {
  run: Run;
  commit(signal: AbortSignal): Promise<void>;
  /** Never fails: a connection that cannot roll back is closed, which rolls back too. */
  rollback(): Promise<void>;
}

export class Transactions {
  readonly #turns: Turns;
  readonly #executor: Executor;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();

  constructor(
    readonly url: string,
    max: number,
    readonly statementSeconds: number,
  ) {
    this.#turns = new Turns(max);
    this.#executor = new Executor(url, statementSeconds);
  }

  /**
   * Begins a transaction, once there is a connection for it. Its statements are sent one behind the other: those that are run
   * together cost one round trip.
   */
  async begin(signal: AbortSignal): Promise<Transaction> {
    const connection = await this.#take(signal);
    const begun = this.#execute(connection, (sql) => sql`begin`, signal);
    begun.catch(() => {}); // the first statement says so
    return {
      run: refusing(async (build) => {
        const [rows] = await Promise.all([this.#execute(connection, build, signal), begun]);
        return rows;
      }),
      commit: async (commitSignal) => {
        try {
          await this.#execute(connection, (sql) => sql`commit`, commitSignal, true);
        } finally {
          this.#give(connection);
        }
      },
      rollback: async () => {
        const patience = AbortSignal.timeout(rollbackMsMax);
        await this.#execute(connection, (sql) => sql`rollback`, patience).catch(() => {
          connection.lost = true;
        });
        this.#give(connection);
      },
    };
  }

  /** Runs one statement that may wait for a lock: a transaction of its own. */
  alone(signal: AbortSignal): Run {
    return refusing(async (build) => {
      const connection = await this.#take(signal);
      try {
        return await this.#executor.execute(() => build(connection.sql), signal);
      } finally {
        this.#give(connection);
      }
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((connection) => connection.close()));
    await this.#executor.close();
  }

  async #execute(
    connection: Connection,
    build: (sql: Sql) => Fragment,
    signal: AbortSignal,
    committing = false,
  ) {
    signal.throwIfAborted();
    if (connection.lost) throw lost();
    try {
      return await this.#executor.execute(() => build(connection.sql), signal, 1);
    } catch (error) {
      // What was not committed was not applied, whatever became of the connection.
      if (!committing && fromDatabase(error)?.reason === "DATABASE_UNAVAILABLE") throw lost(error);
      throw error;
    }
  }

  async #take(signal: AbortSignal): Promise<Connection> {
    await this.#turns.take(signal);
    const kept = this.#idle.pop();
    if (kept && !kept.lost) return kept;
    if (kept) this.#all.delete(kept);
    const connection = new Connection(this.url, this.statementSeconds);
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

  #give(connection: Connection): void {
    if (connection.lost) {
      this.#all.delete(connection);
      void connection.close();
    } else this.#idle.push(connection);
    this.#turns.give();
  }
}

const lost = (cause?: unknown) =>
  new CortexError("DATABASE_UNAVAILABLE", { applied: "no" }, { cause });

class Connection {
  lost = false;
  readonly sql: Sql;

  constructor(url: string, statementSeconds: number) {
    this.sql = connect(url, {
      max: 1, // the driver would connect again, outside of the transaction: see lost
      onclose: () => {
        this.lost = true;
      },
      connection: { ...session(statementSeconds), ...planned },
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
