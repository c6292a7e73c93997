// Finds connections that have gone silent: what was sent over them is never answered, because the network
// between here and Postgres drops it. A statement that is unanswered for a second is looked up over a fresh
// connection. If its backend waits for a statement, or is gone, no answer will come: the connection is closed,
// and so are all that are idle, since what silenced one has most likely silenced them too.

import { connect } from "./connection.js";
import type { Driver, TenantConnection } from "./tenant-connection.js";

const tickMs = 250;
const slowMs = 1000; // a statement unanswered for so long is looked up, and again after that time
const twiceMs = 300; // between two looks: an answer may be on its way
const lookMsMax = 2000;
const afterEndMs = 2000; // for the answer to a statement whose call has ended and that was cancelled
const afterLimitMs = 5000; // for the answer to a statement that Postgres should have ended

/** A statement that is on its way. */
interface Running {
  connection: TenantConnection;
  lookedAt: number;
  /** When it must have been answered. */
  overdueAt: number;
}

export class Watchdog {
  readonly #running = new Set<Running>();
  readonly #listeners: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #isLooking = false;

  constructor(
    readonly url: string,
    readonly statementSeconds: number,
  ) {
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Calls the listener when a connection was found silent. */
  onSilence(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Watches a statement until the returned function is called. */
  watch(connection: TenantConnection, signal: AbortSignal): () => void {
    const now = performance.now();
    const overdueAt = now + this.statementSeconds * 1000 + afterLimitMs;
    const running: Running = { connection, lookedAt: now, overdueAt };
    const end = () => {
      running.overdueAt = Math.min(running.overdueAt, performance.now() + afterEndMs);
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    this.#running.add(running);
    return () => {
      signal.removeEventListener("abort", end);
      this.#running.delete(running);
    };
  }

  #tick(): void {
    const now = performance.now();
    const slow: Running[] = [];
    for (const running of this.#running) {
      if (now > running.overdueAt) this.#giveUp(running);
      else if (now - running.lookedAt > slowMs) slow.push(running);
    }
    if (slow.length === 0 || this.#isLooking) return;
    this.#isLooking = true;
    for (const running of slow) running.lookedAt = now;
    void this.#look(slow).finally(() => {
      this.#isLooking = false;
    });
  }

  #giveUp(running: Running): void {
    this.#running.delete(running);
    void running.connection.destroy();
  }

  /** Closes the connections of those statements that Postgres does not work on. */
  async #look(slow: Running[]): Promise<void> {
    const byPid = new Map(slow.flatMap((one) => pidOf(one.connection.current, one)));
    if (byPid.size === 0) return;
    const sockets = new Set<{ destroy(): void }>();
    const sql = connect(this.url, { max: 1, connect_timeout: lookMsMax / 1000 }, sockets);
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, lookMsMax);
    try {
      const waiting = () => sql<{ pid: number; since: string }[]>`
        select asked.pid, coalesce(a.state_change::text, 'gone') as since
        from unnest(${[...byPid.keys()]}::int[]) as asked (pid)
        left join pg_stat_activity a on a.pid = asked.pid
        where a.state is null or a.state not in ('active', 'fastpath function call')`;
      const before = new Map((await waiting()).map(({ pid, since }) => [pid, since]));
      if (before.size === 0) return;
      await new Promise((resolve) => setTimeout(resolve, twiceMs));
      for (const { pid, since } of await waiting()) {
        const running = byPid.get(pid);
        if (before.get(pid) !== since || !running || !this.#running.has(running)) continue;
        // Its locks must not outlive it.
        await sql`select pg_terminate_backend(${pid})`.catch(() => {});
        this.#giveUp(running);
        for (const listener of this.#listeners) listener();
      }
    } catch {
      // The database does not answer: the monitor says so, and the next tick looks again.
    } finally {
      clearTimeout(timer);
      await sql.end({ timeout: 0 }).catch(() => {});
    }
  }
}

const pidOf = <T>(query: Driver | undefined, one: T): [number, T][] =>
  query?.active && query.state ? [[query.state.pid, one]] : [];
