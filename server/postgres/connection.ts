// Connections to Postgres, and how a statement runs on one: a call whose signal aborts has its statement cancelled, so that it
// holds no connection and no lock.
import { setTimeout as pause } from "node:timers/promises";
import postgres from "postgres";
import { codeOf } from "../errors/reasons.js";

export type Sql = postgres.Sql;
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** Runs one statement. Every operation takes one: over a pool each statement is a transaction of its own. */
export type Run = <T extends object>(build: (sql: Sql) => Fragment) => Promise<T[]>;

// A statement that is running when its call ends gets this long to finish by itself: most do.
const cancelGraceMs = 50;
const cancelMsMax = 500; // one that cannot be sent is not waited for
const statementAttemptsMax = 4;

// max_pipeline is documented by the driver, but missing from its types.
type Options = postgres.Options<Record<string, never>> & { max_pipeline?: number };

/** A pool. The URL may name the directory of a Unix socket as libpq does: `postgres://user@/database?host=/directory`. */
export function connect(url: string, options: Options): Sql {
  const parsed = new URL(url);
  const socketDirectory = parsed.searchParams.get("host");
  parsed.searchParams.delete("host");
  return postgres(parsed.href, {
    connect_timeout: 5,
    max_lifetime: null,
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 0.2), // of seconds: whoever asks waits for it
    onnotice: () => {},
    ...(socketDirectory && { host: socketDirectory }),
    ...options,
  });
}

/** What a connection is told when it opens. */
export const sessionParameters = (statementSeconds: number) => ({
  application_name: "cortex-store",
  statement_timeout: Math.round(statementSeconds * 1000),
  TimeZone: "UTC",
  DateStyle: "ISO",
  jit: "off", // a statement here takes microseconds, compiling it milliseconds
});

/**
 * For connections whose statements look rows up by key: one plan for all times, by index whatever the statistics say. One made while a
 * table was empty would read all of it later. (To plan the statement of a write takes 1.5 ms, to run it 0.3.)
 */
export const indexPlans = {
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_bitmapscan: "off",
  enable_mergejoin: "off",
};

/** For connections of calls: the views that hold tenants apart stand before the tables of the same names (migration 0005). */
export const tenantViews = { search_path: 'of_tenant, "$user", public' };

/** Starts a statement; false: the connection could not be told whom it works for, so it did nothing. */
export type StartStatement = () => Promise<[Fragment, Promise<boolean>]>;

// What a statement fails with that runs for no tenant (undefined_object), or writes for another (with_check_option_violation).
const outOfScope = new Set(["42704", "44000"]);

/** Runs statements: each until its signal aborts, and again where the database gave up on it to resolve a conflict. */
export class Executor {
  /** Cancels statements: on a connection of its own, where the driver would open one for each. */
  readonly #canceller: Sql;

  constructor(
    url: string,
    readonly statementSeconds: number,
  ) {
    this.#canceller = connect(url, { max: 1, idle_timeout: 60 });
  }

  async close(): Promise<void> {
    await this.#canceller.end({ timeout: 1 });
  }

  async execute(
    begin: StartStatement,
    signal: AbortSignal,
    attempts = statementAttemptsMax,
  ): Promise<postgres.Row[]> {
    for (let attempt = 1; ; attempt++) {
      const start = performance.now();
      let told: Promise<boolean> | undefined;
      let stopWatching: (() => Promise<unknown> | undefined) | undefined;
      try {
        const started = await begin();
        const [query] = started;
        told = started[1];
        stopWatching = this.#watch(query, signal);
        // Where a statement failed after its first rows, the driver (3.4.9) numbers the rows of the connection's next result
        // from there: what comes is whole, behind as many holes. filter() leaves holes out.
        const rows = (await query).filter(() => true);
        if (await told) return rows;
        if (attempt >= attempts) throw new Error("a connection could not be told its tenant");
      } catch (error) {
        const code = codeOf(error);
        if (code === "57014") signal.throwIfAborted(); // cancelled, so rolled back
        // Each of these rolled the statement back: a deadlock's victim, or one that a cancel meant for the connection's
        // earlier statement has hit. (A statement that ran into statement_timeout took its full time: it is not repeated.)
        const timedOut = performance.now() - start > this.statementSeconds * 900;
        const again =
          code === "40P01" ||
          code === "40001" ||
          (code === "57014" && !timedOut) ||
          (outOfScope.has(code ?? "") && (await told) === false);
        if (!again || attempt >= attempts) throw error;
      } finally {
        await stopWatching?.();
      }
    }
  }

  /**
   * Cancels the statement when the signal aborts, until the returned function is called: that waits for a cancel on its way, which
   * would else hit the connection's next statement.
   */
  #watch(query: Fragment, signal: AbortSignal): () => Promise<unknown> | undefined {
    let timer: NodeJS.Timeout | undefined;
    let cancelling: Promise<unknown> | undefined;
    // What the driver knows of a statement on its way, missing from its types. Only such a one is cancelled: the driver would
    // lose a connection that it is still opening for a statement.
    const driver = query as { active?: boolean; state?: { pid: number } };
    const cancel = () => {
      timer = setTimeout(cancel, cancelGraceMs);
      if (!driver.active || !driver.state) return;
      const { pid } = driver.state;
      cancelling = this.#canceller`select pg_cancel_backend(${pid}::int)`.catch(() => {}); // tried again until the statement has ended
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

/** The database's time in whole milliseconds, read where it stands: of a row that was waited for, after the wait. */
export const now = (sql: Sql): Fragment => sql`date_trunc('milliseconds', clock_timestamp())`;

/** At least one fragment, with another between each two. */
export const joinFragments = (sql: Sql, parts: Fragment[], by: Fragment): Fragment =>
  parts.reduce((all, part) => sql`${all} ${by} ${part}`);
