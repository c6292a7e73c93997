// Runs one statement: cancels it when its call ends, so that it keeps no connection and no lock, and runs it
// again when Postgres rolled it back to resolve a conflict.
import { setTimeout as pause } from "node:timers/promises";
import type postgres from "postgres";
import { codeOf } from "../errors/sqlstate.js";
import { connect, type Fragment, type Sockets, type Sql } from "./connection.js";
import type { Driver, StartStatement, TenantConnection } from "./tenant-connection.js";
import { Watchdog } from "./watchdog.js";

const cancelGraceMs = 50; // a statement whose call has ended may take this long to finish by itself: most do
const cancelMsMax = 500; // longest wait for the answer to a cancel request
const statementAttemptsMax = 4;

// undefined_object: no tenant is set. with_check_option_violation: a write for a tenant that is not set.
const wrongTenant = new Set(["42704", "44000"]);

export class Executor {
  /**
   * Sends cancel requests over one connection of its own. The driver would open a new connection for each.
   */
  readonly #canceller: Sql;
  readonly #cancellerSockets: Sockets = new Set();
  readonly watchdog: Watchdog;

  constructor(
    url: string,
    readonly statementSeconds: number,
  ) {
    this.#canceller = connect(url, { max: 1, idle_timeout: 60 }, this.#cancellerSockets);
    this.watchdog = new Watchdog(url, statementSeconds);
  }

  async close(): Promise<void> {
    this.watchdog.close();
    await this.#canceller.end({ timeout: 1 });
    this.dropCanceller();
  }

  /** Closes the connection of the cancel requests at once. The next request opens another. */
  dropCanceller(): void {
    for (const socket of this.#cancellerSockets) socket.destroy();
  }

  /**
   * Runs a statement until it ends or its signal aborts; tries it `attempts` times where a conflict rolled it
   * back.
   */
  async execute(
    connection: TenantConnection,
    start: StartStatement,
    signal: AbortSignal,
    attempts = statementAttemptsMax,
  ): Promise<postgres.Row[]> {
    for (let attempt = 1; ; attempt++) {
      const startedAt = performance.now();
      let tenantSet: Promise<boolean> | undefined;
      let stopCancelling: (() => Promise<unknown> | undefined) | undefined;
      const stopWatching = this.watchdog.watch(connection, signal);
      try {
        const started = await start();
        const [query] = started;
        tenantSet = started[1];
        stopCancelling = this.#cancelOnAbort(query, signal);
        // Works around a bug of the driver (3.4.9): if a statement fails after it has returned n rows, the
        // next result on that connection starts at index n of its array. No row is missing, but the first n
        // places are empty. filter() skips empty places.
        const rows = (await query).filter(() => true);
        if (await tenantSet) return rows;
        if (attempt >= attempts) throw new Error("a connection could not be told its tenant");
      } catch (error) {
        const code = codeOf(error);
        if (code === "57014") signal.throwIfAborted(); // cancelled by us: rolled back
        // In all cases of `again` the statement was rolled back, so it can run again. A 57014 that is neither
        // our cancel nor statement_timeout was meant for the previous statement of the connection.
        const timedOut = performance.now() - startedAt > connection.statementSeconds * 900;
        const again =
          code === "40P01" ||
          code === "40001" ||
          (code === "57014" && !timedOut) ||
          (wrongTenant.has(code ?? "") && (await tenantSet) === false);
        if (!again || attempt >= attempts) throw error;
      } finally {
        stopWatching();
        await stopCancelling?.();
      }
    }
  }

  /**
   * Cancels the query when the signal aborts, until the returned function is called. That function waits for
   * a cancel that is on its way: it would otherwise hit the connection's next statement.
   */
  #cancelOnAbort(query: Fragment, signal: AbortSignal): () => Promise<unknown> | undefined {
    let timer: NodeJS.Timeout | undefined;
    let cancelling: Promise<unknown> | undefined;
    // It is cancelled only once it was sent: while the driver still opens the connection, a cancel would lose
    // that connection.
    const driver = query as Driver;
    const cancel = () => {
      timer = setTimeout(cancel, cancelGraceMs);
      if (!driver.active || !driver.state) return;
      const { pid } = driver.state;
      // A failure is ignored: the timer tries again until the statement has ended.
      cancelling = this.#canceller`select pg_cancel_backend(${pid}::int)`.catch(() => {});
    };
    const abort = () => {
      timer = setTimeout(cancel, cancelGraceMs);
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    return () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      return (
        cancelling && Promise.race([cancelling, pause(cancelMsMax, undefined, { ref: false })])
      );
    };
  }
}
