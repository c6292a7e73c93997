// The connection pools of a server process: one for each kind of load, by what its statements wait for, so that
// no kind starves another.

import type { Telemetry } from "../telemetry/telemetry.js";
import { indexPlans } from "./connection.js";
import { Executor } from "./executor.js";
import type { DatabaseMonitor } from "./monitor.js";
import { TenantPool, type TenantPoolOptions } from "./pool.js";

// Of the pools whose connections are held for long, one tenant gets half (rounded up): see SemaphoreOptions.
const sizes = {
  readBatches: 4, // two batches of entries and two of records
  writeBatches: 8, // of entries, records, events, and what is done with streams
  lockWaiting: 4,
  large: 2,
  commits: 6,
  pages: 3,
  scans: 3,
  searches: 3,
  purges: 3,
  housekeeping: 2,
  feed: 1,
};
// One tenant may hold --transactions-max connections, so this one stays free for others.
const spareTransactions = 1;
const others = 4; // the connections of the bus, of the monitor, of the watchdog, and the one that sends cancels

/** How many connections to Postgres a worker may open, besides --pool-size and --transactions-max. */
export const fixedConnections =
  Object.values(sizes).reduce((sum, size) => sum + size, 0) + spareTransactions + others;

/** How many connections to Postgres all workers together may open. */
export const connectionsNeeded = ({
  workers,
  poolSize,
  transactionsMax,
}: {
  workers: number;
  poolSize: number;
  transactionsMax: number;
}) => workers * (poolSize + transactionsMax + fixedConnections);

export interface PoolsOptions {
  poolSize: number;
  transactionsMax: number;
  transactionSeconds: number;
  statementSeconds: number;
  searchSeconds: number;
  queueMax: number;
}

/**
 * Session parameters for batches. A batch asks for no lock that it would have to wait for. Should it meet one
 * (an administrator locked the table), all its calls wait, so it waits at most 100 ms.
 */
export const batchParameters = { ...indexPlans, lock_timeout: 100 };
/** Session parameters for pages: whatever the statistics say, they go through one index, and look up the rest row by row. */
export const pageParameters = { ...indexPlans, enable_hashjoin: "off" };
/** How long a statement that waits for a lock keeps its connection from others. */
const lockWaitMs = 50;

const idleGraceMs = 10_000;

export class Pools {
  /** Reads that many calls share. */
  readonly readBatches: TenantPool;
  /** Writes that many calls share. */
  readonly writeBatches: TenantPool;
  /** Calls that are one short statement, and wait for nothing. */
  readonly short: TenantPool;
  /** Pages of a list in the order of its keys: their plan is made once. */
  readonly pages: TenantPool;
  /** Other lists and counts, which take long. Postgres plans them for what they filter by. */
  readonly scans: TenantPool;
  /** Searches. Their plans are not reused: Postgres plans each search for its own words. */
  readonly searches: TenantPool;
  /** Writes that wait for locks held elsewhere, each for 50 ms at most. */
  readonly lockWaiting: TenantPool;
  /** Writes too large for a batch. They wait for nothing, but take long. */
  readonly large: TenantPool;
  /** Purges and erasures, which take long and wait for locks. */
  readonly purges: TenantPool;
  /** Transactions (Transact), which wait for their callers. */
  readonly transactions: TenantPool;
  /** Commits of several statements, which wait for locks. */
  readonly commits: TenantPool;
  /** The server's own work, for all tenants. */
  readonly housekeeping: TenantPool;
  /** The reader of the change feed, for all tenants. */
  readonly feed: TenantPool;
  readonly #executor: Executor;
  readonly #all: TenantPool[] = [];

  constructor(
    url: string,
    options: PoolsOptions,
    monitor: DatabaseMonitor,
    telemetry?: Telemetry | undefined,
  ) {
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
      const limits = { name, telemetry, size, queueMax, statementSeconds };
      const onSlow = (ms: number) => monitor.slow(name, size, ms);
      const pool = new TenantPool(url, this.#executor, { ...limits, parameters, onSlow, ...more });
      this.#all.push(pool);
      return pool;
    };
    const { readBatches, writeBatches } = sizes;
    this.readBatches = pool("readBatches", readBatches, batchParameters);
    this.writeBatches = pool("writeBatches", writeBatches, batchParameters);
    this.short = pool("short", poolSize);
    const leavesHalf = true;
    this.pages = pool("pages", sizes.pages, pageParameters, { leavesHalf });
    this.scans = pool("scans", sizes.scans, {}, { leavesHalf });
    this.searches = pool(
      "searches",
      sizes.searches,
      { plan_cache_mode: "force_custom_plan" },
      { leavesHalf, statementSeconds: Math.min(options.searchSeconds, statementSeconds) },
    );
    const waiting = { ...indexPlans, lock_timeout: lockWaitMs };
    this.lockWaiting = pool("lockWaiting", sizes.lockWaiting, waiting, { leavesHalf });
    this.large = pool("large", sizes.large, batchParameters, { leavesHalf });
    // Postgres plans the deletes of foreign keys only once for each connection, perhaps while the tables are
    // small. The plan must not be a scan, which would stay when they have grown.
    this.purges = pool("purges", sizes.purges, { enable_seqscan: "off" }, { leavesHalf });
    // This timeout ends the transaction of a server whose machine is gone.
    const idleMsMax = Math.round(transactionSeconds * 1000) + idleGraceMs;
    const parameters = { ...indexPlans, idle_in_transaction_session_timeout: idleMsMax };
    this.transactions = pool("transactions", transactionsMax + spareTransactions, parameters, {
      perTenantMax: transactionsMax,
    });
    this.commits = pool("commits", sizes.commits, parameters, { leavesHalf });
    this.housekeeping = pool(
      "housekeeping",
      sizes.housekeeping,
      { enable_seqscan: "off" },
      { allTenants: true },
    );
    // Planning a read of the feed takes 2.4 ms.
    const reading = { enable_seqscan: "off", plan_cache_mode: "force_generic_plan" };
    this.feed = pool("feed", sizes.feed, reading, { allTenants: true });
  }

  /** What each pool is doing. */
  get load(): TenantPool["load"][] {
    return this.#all.map((pool) => pool.load);
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((pool) => pool.close()));
    await this.#executor.close();
  }
}
