// The pools of a server process. A Lane has a queue in front: a call waits for a connection, runs one statement, and gives it back.
import {
  connect,
  Executor,
  type Fragment,
  planned,
  type Run,
  type Sql,
  session,
} from "./connection.js";
import { type Limits, Transactions } from "./transactions.js";
import { Turns } from "./turns.js";

/** A pool whose statements are transactions of their own. */
export class Lane {
  readonly #sql: Sql;
  readonly #executor: Executor;
  readonly #turns: Turns;

  constructor(url: string, size: number, statementSeconds: number, parameters = {}) {
    this.#turns = new Turns(size);
    this.#executor = new Executor(url, statementSeconds);
    this.#sql = connect(url, {
      max: size,
      max_pipeline: 0, // one statement a connection at a time: none waits behind another's lock
      connection: { ...session(statementSeconds), ...parameters },
    });
  }

  /** Runs statements under a signal, whose reason they fail with when it aborts. */
  run(signal: AbortSignal): Run {
    return async <T>(build: (sql: Sql) => Fragment) => {
      await this.#turns.take(signal);
      try {
        return (await this.#executor.execute(() => build(this.#sql), signal)) as T[];
      } finally {
        this.#turns.give();
      }
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#sql.end({ timeout: 1 }), this.#executor.close()]);
  }
}

const bulkSize = 2;
const searchSize = 2;
const sharedSize = 4; // two batches of reads and two of writes
const patientSize = 4;
const purgeSize = 2;

/** How many connections to Postgres all workers together may hold, with some to spare for people. */
export const connectionsOf = ({
  workers,
  poolSize,
  transactionsMax,
}: {
  workers: number;
  poolSize: number;
  transactionsMax: number;
}) =>
  workers *
    (poolSize +
      transactionsMax +
      bulkSize +
      searchSize +
      sharedSize +
      patientSize +
      purgeSize +
      7) +
  20; // 7: a canceller each

export interface DatabaseOptions extends Limits {
  poolSize: number;
}

/** What connections for shared statements are told besides: none waits long for a lock. */
export const sharedSession = { ...planned, lock_timeout: 100 };

/** The connections of one server process. */
export class Database {
  /** Statements that many calls share. None waits long for a lock: the calls it carries would wait for it. */
  readonly shared: Lane;
  /** Calls of one short statement. */
  readonly calls: Lane;
  /** Lists and counts, which take long: apart, so that they cannot starve the calls. */
  readonly bulk: Lane;
  /** Searches, each planned for the words it looks for. */
  readonly searches: Lane;
  /** Writes that wait for locks held elsewhere, and those too large to share a statement. */
  readonly patient: Lane;
  /** Purges, which take long and wait for locks. */
  readonly purges: Lane;
  readonly transactions: Transactions;

  constructor(url: string, { poolSize, ...limits }: DatabaseOptions) {
    const { statementSeconds } = limits;
    this.shared = new Lane(url, sharedSize, statementSeconds, sharedSession);
    this.calls = new Lane(url, poolSize, statementSeconds);
    this.bulk = new Lane(url, bulkSize, statementSeconds);
    this.searches = new Lane(url, searchSize, statementSeconds, {
      plan_cache_mode: "force_custom_plan",
    });
    this.patient = new Lane(url, patientSize, statementSeconds, planned);
    // What a delete takes with it by foreign keys is planned once a connection, maybe while the tables were small.
    this.purges = new Lane(url, purgeSize, statementSeconds, { enable_seqscan: "off" });
    this.transactions = new Transactions(url, limits);
  }

  async close(): Promise<void> {
    await Promise.all(
      [
        this.shared,
        this.calls,
        this.bulk,
        this.searches,
        this.patient,
        this.purges,
        this.transactions,
      ].map((lane) => lane.close()),
    );
  }
}
