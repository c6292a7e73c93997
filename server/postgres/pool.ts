// A connection pool with a queue in front. A caller gets a connection of its own, for one statement or for a
// transaction. A connection works for one tenant at a time (for several where their calls share a statement)
// and reaches no other tenant's rows (tenant-connection.ts).
import { isConnectionLost } from "../errors/sqlstate.js";
import type { Fragment, Run, Sql } from "./connection.js";
import type { Executor } from "./executor.js";
import { FairSemaphore } from "./fair-semaphore.js";
import { slowMs } from "./monitor.js";
import { type ConnectionOptions, scopeText, TenantConnection } from "./tenant-connection.js";
import { DatabaseTransaction } from "./transaction.js";

export interface TenantPoolOptions extends ConnectionOptions {
  /** How many connections there are, and how many one tenant may hold. */
  size: number;
  /** How many callers may wait for a connection. */
  queueMax: number;
  /** Connections beyond `size`: they stay free for other tenants when one tenant holds all it may. */
  spare?: number;
  /** Told how long a caller waited for a connection, if that was longer than `slowMs`. */
  onSlow?: (ms: number) => void;
}

export class TenantPool {
  readonly #idle: TenantConnection[] = [];
  readonly #all = new Set<TenantConnection>();
  readonly #places: FairSemaphore;

  constructor(
    readonly url: string,
    readonly executor: Executor,
    readonly options: TenantPoolOptions,
  ) {
    const { size, spare = 0, queueMax, onSlow } = options;
    this.#places = new FairSemaphore(size + spare, size, queueMax, (ms) => {
      if (ms > slowMs) onSlow?.(ms);
    });
  }

  /**
   * Gives a function that runs single statements for tenants. They fail with the signal's reason when it
   * aborts.
   */
  run(tenants: readonly string[], signal: AbortSignal): Run {
    const scope = scopeText(tenants);
    return async <T>(build: (sql: Sql) => Fragment) => {
      const connection = await this.#acquire(scope, signal);
      try {
        return (await this.executor.execute(
          connection,
          connection.start(scope, build),
          signal,
        )) as T[];
      } catch (error) {
        if (isConnectionLost(error)) this.#discard(connection);
        throw error;
      } finally {
        this.#release(connection, scope);
      }
    };
  }

  /** Begins a transaction for a tenant, once there is a connection for it. */
  async begin(tenant: string, signal: AbortSignal): Promise<DatabaseTransaction> {
    const scope = scopeText([tenant]);
    const connection = await this.#acquire(scope, signal);
    const giveBack = (broken: boolean) => {
      if (broken) this.#discard(connection);
      this.#release(connection, scope);
    };
    try {
      const stop = this.executor.watchdog.watch(connection, signal);
      await connection.findDeadlocksFast().finally(stop);
      await this.executor.execute(
        connection,
        connection.start(scope, (sql) => sql`begin`),
        signal,
      );
    } catch (error) {
      giveBack(true); // its state is not known
      throw error;
    }
    return new DatabaseTransaction(connection, this.executor, signal, giveBack);
  }

  async close(): Promise<void> {
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
