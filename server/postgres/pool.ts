// A connection pool with a queue in front. A caller gets a connection of its own, for one statement or for a
// transaction. A connection works for one tenant at a time (for several where their calls share a statement)
// and reaches no other tenant's rows (tenant-connection.ts).
import { isConnectionLost } from "../errors/sqlstate.js";
import { noCallers, type Telemetry, type TracePoint } from "../telemetry/telemetry.js";
import type { Fragment, Run, Sql } from "./connection.js";
import type { Executor } from "./executor.js";
import { FairSemaphore } from "./fair-semaphore.js";
import { slowMs } from "./monitor.js";
import { type ConnectionOptions, scopeText, TenantConnection } from "./tenant-connection.js";
import { DatabaseTransaction } from "./transaction.js";

export interface TenantPoolOptions extends ConnectionOptions {
  /** How many connections there are. */
  size: number;
  /** How many callers of a tenant may wait for a connection. */
  queueMax: number;
  /** True if connections are held for long: see SemaphoreOptions. */
  leavesHalf?: boolean;
  /** How many connections one tenant may hold. */
  perTenantMax?: number;
  /** Told how long a caller waited for a connection, if that was longer than `slowMs`. */
  onSlow?: (ms: number) => void;
  /** The name of the pool. */
  name: string;
  telemetry?: Telemetry | undefined;
}

/** A transaction that is open, and how it is ended if its tenant has more than its share. */
interface Open {
  transaction: DatabaseTransaction;
  scope: string;
  giveWay: () => void;
}

const giveWayIdleMs = 500; // a transaction is not ended before it has waited for its caller for so long
const giveWayCheckMs = 100;

export class TenantPool {
  readonly #idle: TenantConnection[] = [];
  readonly #all = new Set<TenantConnection>();
  readonly #places: FairSemaphore;
  readonly #open = new Set<Open>();
  #makingRoom: NodeJS.Timeout | undefined;
  /** The transaction that was ended last to make room. */
  #victim: Open | undefined;

  constructor(
    readonly url: string,
    readonly executor: Executor,
    readonly options: TenantPoolOptions,
  ) {
    const { size, queueMax, leavesHalf = false, perTenantMax = size, onSlow } = options;
    const { name, telemetry } = options;
    this.#places = new FairSemaphore({
      places: size,
      waitersMax: queueMax,
      leavesHalf,
      perHolderMax: perTenantMax,
      onWaited: (ms) => {
        if (ms > slowMs) onSlow?.(ms);
        telemetry?.waitedForConnection(name, ms);
      },
    });
  }

  /**
   * Gives a function that runs single statements for tenants. They fail with the signal's reason when it
   * aborts. `callers`: where the calls that they are for are in their traces.
   */
  run(
    tenants: readonly string[],
    signal: AbortSignal,
    callers: readonly TracePoint[] = noCallers,
  ): Run {
    const scope = scopeText(tenants);
    return async <T>(build: (sql: Sql) => Fragment) => {
      const connection = await this.#acquire(scope, signal);
      const execute = () =>
        this.executor.execute(connection, connection.start(scope, build), signal) as Promise<T[]>;
      try {
        return await this.#told(execute, callers);
      } catch (error) {
        if (isConnectionLost(error)) this.#discard(connection);
        throw error;
      } finally {
        this.#release(connection, scope);
      }
    };
  }

  /** Runs a statement, and tells telemetry of it. */
  #told<T>(execute: () => Promise<T>, callers: readonly TracePoint[]): Promise<T> {
    const { name, telemetry } = this.options;
    return telemetry ? telemetry.statement(name, callers, execute) : execute();
  }

  /** How many connections are used and idle, and how many callers wait. */
  get load(): { name: string; size: number; used: number; idle: number; waiting: number } {
    const { name, size } = this.options;
    const idle = this.#idle.length;
    return { name, size, used: this.#places.used, idle, waiting: this.#places.waiters };
  }

  /** True if a statement of the tenant would get a connection at once. */
  isFree(tenant: string): boolean {
    return this.#places.isFree(scopeText([tenant]));
  }

  /**
   * Begins a transaction for a tenant, once there is a connection for it. `giveWay` ends it: it is called if
   * another tenant waits that has fewer connections, and this transaction has nothing to do.
   */
  async begin(
    tenant: string,
    signal: AbortSignal,
    giveWay?: () => void,
    callers: readonly TracePoint[] = noCallers,
  ): Promise<DatabaseTransaction> {
    const scope = scopeText([tenant]);
    if (giveWay && !this.#places.isFree(scope)) this.#makeRoom();
    const connection = await this.#acquire(scope, signal);
    let open: Open | undefined;
    const giveBack = (broken: boolean) => {
      if (open) this.#open.delete(open);
      if (broken) this.#discard(connection);
      this.#release(connection, scope);
    };
    try {
      const stop = this.executor.watchdog.watch(connection, signal);
      await connection.findDeadlocksFast().finally(stop);
      const begin = connection.start(scope, (sql) => sql`begin`);
      await this.#told(() => this.executor.execute(connection, begin, signal), callers);
    } catch (error) {
      giveBack(true); // its state is not known
      throw error;
    }
    const told = <T>(execute: () => Promise<T>) => this.#told(execute, callers);
    const transaction = new DatabaseTransaction(connection, this.executor, signal, giveBack, told);
    if (giveWay) {
      open = { transaction, scope, giveWay };
      this.#open.add(open);
    }
    return transaction;
  }

  /**
   * As long as a tenant waits for a connection, ends transactions of tenants that have at least two more: of the
   * tenant with the most, the one that has waited for its caller the longest.
   */
  #makeRoom(): void {
    if (this.#makingRoom) return;
    this.#makingRoom = setTimeout(() => {
      this.#makingRoom = undefined;
      const waiting = [...this.#places.waiting].map((scope) => this.#places.heldBy(scope));
      if (waiting.length === 0) return;
      this.#makeRoom(); // again, as long as somebody waits
      if (this.#victim && this.#open.has(this.#victim)) return; // it has not given its connection back yet
      const heldMin = Math.min(...waiting) + 2;
      [this.#victim] = [...this.#open]
        .filter(
          ({ transaction, scope }) =>
            transaction.idleMs > giveWayIdleMs && this.#places.heldBy(scope) >= heldMin,
        )
        .sort(
          (a, b) =>
            this.#places.heldBy(b.scope) - this.#places.heldBy(a.scope) ||
            b.transaction.idleMs - a.transaction.idleMs,
        );
      this.#victim?.giveWay();
    }, giveWayCheckMs).unref();
  }

  async close(): Promise<void> {
    clearTimeout(this.#makingRoom);
    await Promise.all([...this.#all].map((connection) => connection.end()));
  }

  /** Closes the idle connections at once: others were found silent. */
  dropIdle(): void {
    for (const connection of this.#idle.splice(0)) {
      this.#all.delete(connection);
      void connection.destroy();
    }
  }

  /** Takes a connection: if possible one that last worked for the same tenants. */
  async #acquire(scope: string, signal: AbortSignal): Promise<TenantConnection> {
    await this.#places.acquire(signal, scope);
    const index = this.#idle.findLastIndex((connection) => connection.scope === scope);
    const [idle] = this.#idle.splice(index, 1); // an index of -1 takes the last
    if (idle) return idle;
    const connection = new TenantConnection(this.url, this.options);
    this.#all.add(connection);
    return connection;
  }

  /**
   * Closes a connection for good, also one that was lost: between the error and the close of its socket, the
   * driver (3.4.9) would accept statements and never answer them.
   */
  #discard(connection: TenantConnection): void {
    this.#all.delete(connection);
    void connection.end();
  }

  #release(connection: TenantConnection, scope: string): void {
    if (this.#all.has(connection)) this.#idle.push(connection);
    this.#places.release(scope);
  }
}
