// The connections of a server process: a lane for each kind of statement, so that none starves another.
import { Executor, indexPlans } from "./connection.js";
import { TenantPool, type TenantPoolOptions } from "./pool.js";

const bulkSize = 2;
const searchSize = 2;
const sharedSize = 4; // two batches of reads and two of writes
const patientSize = 4;
const purgeSize = 2;
const housekeepingSize = 2;
const spare = 1; // of what may be held for long: for other tenants than the one that holds all it may

/** How many connections to Postgres all workers together may hold, with some to spare for people. */
export const connectionsNeeded = ({
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
      housekeepingSize +
      3 * spare +
      1) + // the canceller
  20;

export interface PoolsOptions {
  poolSize: number;
  transactionsMax: number;
  transactionSeconds: number;
  statementSeconds: number;
  queueMax: number;
}

/** What connections for shared statements are told besides: none waits long for a lock. */
export const batchParameters = { ...indexPlans, lock_timeout: 100 };

const idleGraceMs = 10_000;

/** The connections of one server process. */
export class Pools {
  /** Statements that many calls share. None waits long for a lock: the calls it carries would wait for it. */
  readonly batches: TenantPool;
  /** Calls of one short statement. */
  readonly short: TenantPool;
  /** Lists and counts, which take long: apart, so that they cannot starve the calls. */
  readonly scans: TenantPool;
  /** Searches, each planned for the words it looks for. */
  readonly searches: TenantPool;
  /** Writes that wait for locks held elsewhere, and those too large to share a statement. */
  readonly lockWaiting: TenantPool;
  /** Purges, which take long and wait for locks. */
  readonly purges: TenantPool;
  /** Transactions of several statements. */
  readonly transactions: TenantPool;
  /** What the server does by itself, for all tenants. */
  readonly housekeeping: TenantPool;
  readonly #executor: Executor;
  readonly #lanes: TenantPool[] = [];

  constructor(url: string, options: PoolsOptions) {
    const { poolSize, transactionsMax, transactionSeconds, statementSeconds, queueMax } = options;
    this.#executor = new Executor(url, statementSeconds);
    const lane = (size: number, parameters = {}, more: Partial<TenantPoolOptions> = {}) => {
      const limits = { size, queueMax, statementSeconds };
      const lane = new TenantPool(url, this.#executor, { ...limits, parameters, ...more });
      this.#lanes.push(lane);
      return lane;
    };
    this.batches = lane(sharedSize, batchParameters);
    this.short = lane(poolSize);
    this.scans = lane(bulkSize);
    this.searches = lane(searchSize, { plan_cache_mode: "force_custom_plan" });
    this.lockWaiting = lane(patientSize, indexPlans, { spare });
    // What a delete takes with it by foreign keys is planned once a connection, maybe while the tables were small.
    this.purges = lane(purgeSize, { enable_seqscan: "off" }, { spare });
    // For a server whose machine is gone.
    const idleMsMax = Math.round(transactionSeconds * 1000) + idleGraceMs;
    const transactions = { ...indexPlans, idle_in_transaction_session_timeout: idleMsMax };
    this.transactions = lane(transactionsMax, transactions, { spare });
    this.housekeeping = lane(housekeepingSize, { enable_seqscan: "off" }, { allTenants: true });
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
    await this.#executor.close();
  }
}
