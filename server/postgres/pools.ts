// The connection pools of a server process: one for each kind of load, so that no kind starves another.
import { indexPlans } from "./connection.js";
import { Executor } from "./executor.js";
import type { DatabaseMonitor } from "./monitor.js";
import { TenantPool, type TenantPoolOptions } from "./pool.js";

const scansSize = 2;
const searchesSize = 2;
const batchesSize = 4; // two batches of reads and two of writes
const lockWaitingSize = 4;
const purgesSize = 2;
const housekeepingSize = 2;
// For pools whose connections may be held for long. One tenant may hold `size` connections, so this one stays
// free for other tenants.
const spare = 1;

/** How many connections to Postgres all workers together may open. */
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
    scansSize +
    searchesSize +
    batchesSize +
    lockWaitingSize +
    purgesSize +
    housekeepingSize +
    3 * spare +
    3); // the connection that sends cancels, that of the monitor, and that of the watchdog

export interface PoolsOptions {
  poolSize: number;
  transactionsMax: number;
  transactionSeconds: number;
  statementSeconds: number;
  queueMax: number;
}

/** Session parameters for batches. All calls of a batch wait for its locks, so it waits at most 100 ms. */
export const batchParameters = { ...indexPlans, lock_timeout: 100 };

const idleGraceMs = 10_000;

export class Pools {
  /** Statements that many calls share. They wait at most 100 ms for a lock. */
  readonly batches: TenantPool;
  /** Calls that are one short statement. */
  readonly short: TenantPool;
  /** Lists and counts, which take long. */
  readonly scans: TenantPool;
  /** Searches. Their plans are not reused: Postgres plans each search for its own words. */
  readonly searches: TenantPool;
  /** Writes that wait for locks held elsewhere, and writes too large for a batch. */
  readonly lockWaiting: TenantPool;
  /** Purges and erasures, which take long and wait for locks. */
  readonly purges: TenantPool;
  /** Transactions of several statements. */
  readonly transactions: TenantPool;
  /** The server's own work, for all tenants. */
  readonly housekeeping: TenantPool;
  readonly #executor: Executor;
  readonly #all: TenantPool[] = [];

  constructor(url: string, options: PoolsOptions, monitor: DatabaseMonitor) {
    const { poolSize, transactionsMax, transactionSeconds, statementSeconds, queueMax } = options;
    this.#executor = new Executor(url, statementSeconds);
    this.#executor.watchdog.onSilence(() => {
      for (const pool of this.#all) pool.dropIdle();
      this.#executor.dropCanceller();
    });
    const pool = (
      name: string,
      size: number,
      parameters = {},
      more: Partial<TenantPoolOptions> = {},
    ) => {
      const limits = { size, queueMax, statementSeconds };
      const onSlow = (ms: number) => monitor.slow(name, size, ms);
      const pool = new TenantPool(url, this.#executor, { ...limits, parameters, onSlow, ...more });
      this.#all.push(pool);
      return pool;
    };
    this.batches = pool("batches", batchesSize, batchParameters);
    this.short = pool("short", poolSize);
    this.scans = pool("scans", scansSize);
    this.searches = pool("searches", searchesSize, { plan_cache_mode: "force_custom_plan" });
    this.lockWaiting = pool("lockWaiting", lockWaitingSize, indexPlans, { spare });
    // Postgres plans the deletes of foreign keys only once for each connection, perhaps while the tables are
    // small. The plan must not be a scan, which would stay when they have grown.
    this.purges = pool("purges", purgesSize, { enable_seqscan: "off" }, { spare });
    // This timeout ends the transaction of a server whose machine is gone.
    const idleMsMax = Math.round(transactionSeconds * 1000) + idleGraceMs;
    const parameters = { ...indexPlans, idle_in_transaction_session_timeout: idleMsMax };
    this.transactions = pool("transactions", transactionsMax, parameters, { spare });
    this.housekeeping = pool(
      "housekeeping",
      housekeepingSize,
      { enable_seqscan: "off" },
      { allTenants: true },
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((pool) => pool.close()));
    await this.#executor.close();
  }
}
