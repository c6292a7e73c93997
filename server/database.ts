// The way to Postgres. A Lane is a pool with a queue in front: a call waits for a connection, runs one statement, and gives it
// back; a call whose signal aborts leaves the queue, or has its statement cancelled, so that it holds no connection and no lock.
import { readdir, readFile } from "node:fs/promises";
import postgres from "postgres";
import { type CortexError, codeOf, fromDatabase } from "./errors.js";

export type Sql = postgres.Sql;
export type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** What an error of one SQLSTATE means to the caller of this statement. */
export type Refusals = Record<string, () => CortexError | Promise<CortexError>>;

/** Runs one statement. Every operation takes one: over a pool each statement is a transaction of its own. */
export type Run = <T extends object>(
  build: (sql: Sql) => Fragment,
  refusals?: Refusals,
) => Promise<T[]>;

// A statement that is running when its call ends gets this long to finish by itself: most do.
const cancelGraceMs = 50;
const attemptsMax = 4;

// max_pipeline is documented by the driver, but missing from its types.
type Options = postgres.Options<Record<string, never>> & { max_pipeline?: number };

/** A pool. The URL may name the directory of a Unix socket as libpq does: `postgres://user@/database?host=/directory`. */
export function connect(url: string, options: Options): Sql {
  const parsed = new URL(url);
  const socketDirectory = parsed.searchParams.get("host");
  parsed.searchParams.delete("host");
  return postgres(parsed.href, {
    connect_timeout: 5,
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 1),
    onnotice: () => {},
    ...(socketDirectory && { host: socketDirectory }),
    ...options,
  });
}

export class Lane {
  readonly #sql: Sql;
  /** Cancels statements: on a connection of its own, where the driver would open one for each. */
  readonly #canceller: Sql;
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(
    url: string,
    size: number,
    readonly statementSeconds: number,
  ) {
    this.#free = size;
    this.#canceller = connect(url, { max: 1, idle_timeout: 60 });
    this.#sql = connect(url, {
      max: size,
      max_pipeline: 0, // one statement a connection at a time: none waits behind another's lock
      connection: {
        application_name: "cortex-store",
        statement_timeout: Math.round(statementSeconds * 1000),
        TimeZone: "UTC",
        DateStyle: "ISO",
      },
    });
  }

  /** Runs statements under a signal, whose reason they fail with when it aborts. */
  run(signal: AbortSignal): Run {
    return async <T extends object>(
      build: (sql: Sql) => Fragment,
      refusals?: Refusals,
    ): Promise<T[]> => {
      try {
        return (await this.#turn(build, signal)) as unknown as T[];
      } catch (error) {
        const refusal = refusals?.[codeOf(error) ?? ""];
        throw refusal ? await refusal() : error;
      }
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#sql.end({ timeout: 1 }), this.#canceller.end({ timeout: 1 })]);
  }

  async #turn(build: (sql: Sql) => Fragment, signal: AbortSignal): Promise<postgres.Row[]> {
    await this.#take(signal);
    try {
      return await this.#execute(build, signal);
    } finally {
      this.#give();
    }
  }

  async #take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.delete(turn);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.add(turn);
    });
  }

  #give(): void {
    const [next] = this.#waiting; // the oldest: a Set keeps its order
    if (!next) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }

  async #execute(build: (sql: Sql) => Fragment, signal: AbortSignal): Promise<postgres.Row[]> {
    for (let attempt = 1; ; attempt++) {
      const query = build(this.#sql);
      const start = performance.now();
      const stopWatching = this.#watch(query, signal);
      try {
        // Where a statement failed after its first rows, the driver (3.4.9) numbers the rows of the connection's next result
        // from there: what comes is whole, behind as many holes. filter() leaves holes out.
        return (await query).filter(() => true);
      } catch (error) {
        const code = codeOf(error);
        if (code === "57014") signal.throwIfAborted(); // cancelled, so rolled back
        // Each of these rolled the statement back: a deadlock's victim, or one that a cancel meant for the connection's
        // earlier statement has hit. (A statement that ran into statement_timeout took its full time: it is not repeated.)
        const timedOut = performance.now() - start > this.statementSeconds * 900;
        const again = code === "40P01" || code === "40001" || (code === "57014" && !timedOut);
        if (!again || attempt === attemptsMax) throw error;
      } finally {
        stopWatching();
      }
    }
  }

  /** Cancels the statement when the signal aborts, until the returned function is called. */
  #watch(query: Fragment, signal: AbortSignal): () => void {
    let timer: NodeJS.Timeout | undefined;
    // What the driver knows of a statement on its way, missing from its types. Only such a one is cancelled: the driver would
    // lose a connection that it is still opening for a statement.
    const driver = query as { active?: boolean; state?: { pid: number } };
    const cancel = () => {
      timer = setTimeout(cancel, cancelGraceMs);
      if (!driver.active || !driver.state) return;
      const { pid } = driver.state;
      this.#canceller`select pg_cancel_backend(${pid}::int)`.catch(() => {}); // tried again until the statement has ended
    };
    const abort = () => {
      timer = setTimeout(cancel, cancelGraceMs);
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    return () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
  }
}

/** The database's time in whole milliseconds, read where it stands: of a row that was waited for, after the wait. */
export const now = (sql: Sql): Fragment => sql`date_trunc('milliseconds', clock_timestamp())`;

const bulkSize = 2;

/** How many connections to Postgres all workers together may hold, with some to spare for people. */
export const connectionsOf = ({ workers, poolSize }: { workers: number; poolSize: number }) =>
  workers * (poolSize + bulkSize + 2) + 20;

/** The lanes of one server process. */
export class Database {
  /** Calls of one short statement. */
  readonly calls: Lane;
  /** Lists, counts and purges, which take long: apart, so that they cannot starve the calls. */
  readonly bulk: Lane;

  constructor(url: string, poolSize: number, statementSeconds: number) {
    this.calls = new Lane(url, poolSize, statementSeconds);
    this.bulk = new Lane(url, bulkSize, statementSeconds);
  }

  async close(): Promise<void> {
    await Promise.all([this.calls.close(), this.bulk.close()]);
  }
}

const migrationsLock = 0x636f7274; // "cort"

/**
 * Brings the schema up to date: each file of server/migrations once, in order, each with its record in one transaction.
 * Servers that start together take turns by an advisory lock.
 */
export async function migrate(url: string): Promise<void> {
  const directory = new URL("./migrations/", import.meta.url);
  const files = (await readdir(directory)).filter((file) => file.endsWith(".sql")).sort();
  const sql = connect(url, { max: 1 });
  try {
    await sql`select pg_advisory_lock(${migrationsLock})`;
    await sql`create table if not exists migration (name text primary key, applied_at timestamptz not null default now())`;
    const applied = new Set((await sql`select name from migration`).map((row) => row.name));
    for (const file of files.filter((file) => !applied.has(file))) {
      const text = await readFile(new URL(file, directory), "utf8");
      await sql.begin(async (tx) => {
        await tx.unsafe(text);
        await tx`insert into migration (name) values (${file})`;
      });
    }
  } catch (error) {
    throw fromDatabase(error) ?? error;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
