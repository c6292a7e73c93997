// Watches the database for the operator. The log gets one line when something is wrong and one when it is over,
// however many calls fail in between. Only the monitor decides whether the database is lost: it asks over a
// connection of its own.
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { codeOf, isDatabaseLost } from "../errors/sqlstate.js";
import { connect, type Sockets, type Sql } from "./connection.js";
import { explain } from "./explain.js";

const askMs = 1000; // pause between two questions while all is well
const answerMsMax = 1000;
const freshAnswerMsMax = 2000; // over a new connection
const unhealthyMs = 3000; // without an answer: then the server is not healthy
const retryMs = 500; // pause between two questions while the database is lost
const quietMs = 10_000; // a problem is over when no call had it for this long
export const slowMs = 1000; // a wait for a connection that takes longer is a problem

interface Problem {
  since: number;
  /** When it was seen last. */
  last: number;
  /** How often it was seen. */
  count: number;
  /** The longest wait for a connection. */
  msMax: number;
  /** The message when it is over. */
  over: string;
}

export class DatabaseMonitor {
  readonly #problems = new Map<string, Problem>();
  #sql: Sql | undefined;
  #answeredAt = performance.now();
  #unhealthy: NodeJS.Timeout | undefined;
  readonly #sockets: Sockets = new Set();
  #asking: Promise<void> | undefined;
  #lostSince: number | undefined;
  /** How many calls failed since the database last answered. */
  #failed = 0;
  /** The error of the last of them. */
  #lastError: unknown;
  readonly #closing = new AbortController();
  readonly #timers: NodeJS.Timeout[];

  constructor(
    readonly url: string,
    readonly log: Logger,
    /** Told when the database has not answered for 3 s, and when it is back. */
    readonly onHealth: (healthy: boolean) => void = () => {},
  ) {
    this.#timers = [
      setInterval(() => this.#ask(), askMs).unref(),
      setInterval(() => this.#endQuietProblems(), quietMs / 5).unref(),
    ];
    this.#ask();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#unhealthy);
    for (const timer of this.#timers) clearInterval(timer);
    await this.#asking;
    await this.#sql?.end({ timeout: 1 });
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Takes note of a call that failed. `error` is what the database or the driver threw. */
  failed(error: unknown): void {
    const code = codeOf(error);
    const kind = code === undefined ? undefined : kinds[code];
    if (kind) this.#seen(kind, explain(error, this.url) ?? kind, kind);
    else if (isDatabaseLost(error)) {
      this.#failed++;
      this.#lastError = error;
      this.#ask();
    }
  }

  /** Takes note of a caller that waited too long for a connection of a pool. */
  slow(pool: string, connections: number, ms: number): void {
    const kind = `slow pool ${pool}`;
    const message = `calls wait longer than ${slowMs} ms for one of the ${connections} connections of the pool "${pool}"`;
    this.#seen(kind, message, `calls wait no longer for connections of the pool "${pool}"`, ms);
  }

  /** Takes note of work in the background that failed, and will be tried again. */
  cannot(work: string, error: unknown): void {
    const known = isDatabaseLost(error) || kinds[codeOf(error) ?? ""] !== undefined;
    if (known) this.failed(error);
    else this.#seen(work, `cannot ${work}: trying again`, "", 0, error);
  }

  /** Takes note that work in the background was done. */
  did(work: string): void {
    const problem = this.#problems.get(work);
    if (!problem) return;
    this.#problems.delete(work);
    this.log.info({ seconds: secondsSince(problem.since) }, `can ${work} again`);
  }

  #seen(kind: string, message: string, over: string, ms = 0, error?: unknown): void {
    const now = performance.now();
    const problem = this.#problems.get(kind);
    if (problem) {
      problem.last = now;
      problem.count++;
      problem.msMax = Math.max(problem.msMax, ms);
      return;
    }
    this.#problems.set(kind, { since: now, last: now, count: 1, msMax: ms, over });
    this.log.warn({ ...(error !== undefined && { err: error }) }, message);
  }

  #endQuietProblems(): void {
    const now = performance.now();
    for (const [kind, { since, last, count, msMax, over }] of this.#problems) {
      if (over === "" || now - last < quietMs) continue;
      this.#problems.delete(kind);
      const seconds = Math.round((last - since) / 100) / 10;
      this.log.info(
        { seconds, calls: count, ...(msMax > 0 && { msMax: Math.round(msMax) }) },
        over,
      );
    }
  }

  /** Asks the database until it answers. */
  #ask(): void {
    this.#asking ??= this.#untilAnswer().finally(() => {
      this.#asking = undefined;
    });
  }

  async #untilAnswer(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      let error = await this.#answer();
      // The connection was closed, or is silent. Whether the database is lost shows a new connection.
      if (error !== undefined) error = await this.#answer();
      if (signal.aborted) return;
      if (error === undefined) return this.#isBack();
      this.#isLost(error);
      await pause(retryMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Asks the database once; gives the error if it does not answer. */
  async #answer(): Promise<unknown> {
    const ms = this.#sql ? answerMsMax : freshAnswerMsMax;
    const sql = this.#sql ?? this.#connect();
    const timer = new AbortController();
    try {
      const answer = sql`select 1`;
      const late = pause(ms, undefined, { signal: timer.signal, ref: false }).then(() => {
        throw new Error(`it did not answer within ${ms / 1000} s`);
      });
      late.catch(() => {});
      await Promise.race([answer, late]);
      this.#answeredAt = performance.now();
      return undefined;
    } catch (error) {
      this.#sql = undefined;
      void sql.end({ timeout: 0 });
      for (const socket of this.#sockets) socket.destroy();
      // Postgres answers, but has no connection for us: it is not lost.
      if (codeOf(error) !== "53300") return error;
      this.failed(error);
      return undefined;
    } finally {
      timer.abort();
    }
  }

  #connect(): Sql {
    const options = {
      max: 1,
      connection: { application_name: "cortex-store monitor" },
      onclose: () => {
        if (this.#sql === sql && !this.#closing.signal.aborted) this.#ask();
      },
    };
    const sql: Sql = connect(this.url, options, this.#sockets);
    this.#sql = sql;
    return sql;
  }

  #isLost(error: unknown): void {
    if (this.#lostSince !== undefined) return;
    this.#lostSince = performance.now();
    const sinceAnswer = performance.now() - this.#answeredAt;
    this.#unhealthy = setTimeout(
      () => this.onHealth(false),
      Math.max(0, unhealthyMs - sinceAnswer),
    ).unref();
    this.log.error({ code: codeOf(error) }, `the database is lost: ${this.#reason(error)}`);
  }

  #reason(error: unknown): string {
    return explain(error, this.url) ?? (error instanceof Error ? error.message : `${error}`);
  }

  #isBack(): void {
    if (this.#lostSince !== undefined) {
      this.log.info(
        { seconds: secondsSince(this.#lostSince), failedCalls: this.#failed },
        "the database is back",
      );
      clearTimeout(this.#unhealthy);
      this.onHealth(true);
    } else if (this.#failed > 0)
      this.#seen(
        "lost connections",
        `connections to the database are lost, though it answers: ${this.#reason(this.#lastError)}`,
        "no more connections to the database are lost",
      );
    this.#lostSince = undefined;
    this.#failed = 0;
  }
}

const secondsSince = (time: number) => Math.round((performance.now() - time) / 100) / 10;

/** Problems that calls meet while the database answers others, each with the message when it is over. */
const kinds: Record<string, string> = {
  "53300": "the database has connections free again",
  "53200": "the database has room for locks again",
  "53100": "the database has disk space again",
  "58030": "the database reads and writes its files again",
  "25006": "the database takes writes again",
};
