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
const idleMsMax = 60_000;

/** Runs statements until it is committed or rolled back. One of both must be called, once. */
export interface Transaction {
  run: Run;
  /** Is not cancelled: once it is sent, it is seen to its end. */
  commit(): Promise<void>;
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
      run: refusing((build) => this.#execute(connection, build, signal)),
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
        const patience = AbortSignal.timeout(rollbackMsMax);
        await this.#execute(connection, (sql) => sql`rollback`, patience).catch(() => {
          connection.lost = true;
        });
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

  constructor(url: string, statementSeconds: number) {
    this.sql = connect(url, {
      max: 1,
      max_lifetime: null, // it would end in the middle of a transaction
      onclose: () => {
        this.lost = true;
      },
      connection: {
        ...session(statementSeconds),
        ...planned,
        idle_in_transaction_session_timeout: idleMsMax, // for a server whose machine is gone
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
