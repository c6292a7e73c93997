// The bus between the server processes on one database: who publishes a name wakes those who listen to it, in
// any process. It is one connection, which listens and notifies. A name published twice within a moment is sent
// once, and may get lost with the connection: whoever listens also looks from time to time.
import { createHash } from "node:crypto";
import { connect, type Sockets, type Sql } from "./connection.js";

const channel = "cortex_store";
const gatherMs = 10; // names that are published within this time share a notification
const payloadMax = 7900; // bytes; Postgres takes less than 8000
const everybody = "*"; // also where there are more names than a notification holds
const answerMsMax = 2000; // a connection that takes longer is silent
const heartbeatMs = 5000;
const reconnectMs = 1000;

/** What is sent of a name: it may hold the key of a tenant. */
export const topicOf = (name: string): string =>
  createHash("sha256").update(name).digest("base64url").slice(0, 12);

export interface WakeUps {
  /** Resolves when the name was published since the last time, at the latest after `ms`. */
  next(ms: number, signal: AbortSignal): Promise<void>;
  stop(): void;
}

export class Bus {
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #sockets: Sockets = new Set();
  readonly #heartbeat: NodeJS.Timeout;
  /** The topics that are to be sent. */
  #published = new Set<string>();
  #gathering: NodeJS.Timeout | undefined;
  #reconnecting: NodeJS.Timeout | undefined;
  #sql: Sql | undefined;
  #closed = false;

  constructor(
    readonly url: string,
    /** False: it reaches this process only, and opens no connection. */
    readonly reachesOthers = true,
  ) {
    this.#heartbeat = setInterval(() => void this.#ask((sql) => sql`select`), heartbeatMs).unref();
    if (reachesOthers) void this.#open();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#gathering);
    clearTimeout(this.#reconnecting);
    await this.#drop();
  }

  /** Wakes those who listen to these names: in this process at once, in others a moment later. */
  publish(names: Iterable<string>): void {
    for (const name of names) this.#publish(topicOf(name));
  }

  /** The same for the name of a topic. */
  publishTopic(topic: string): void {
    this.#publish(topic);
  }

  /** Wakes those who listen to these names in this process. */
  wake(names: Iterable<string>): void {
    for (const name of names) this.#receive(topicOf(name));
  }

  /** Wakes everybody who listens. */
  publishAll(): void {
    this.#publish(everybody);
  }

  #publish(topic: string): void {
    this.#receive(topic);
    if (!this.reachesOthers) return;
    this.#published.add(topic);
    this.#gathering ??= setTimeout(() => this.#send(), gatherMs).unref();
  }

  listen(name: string): WakeUps {
    const topic = topicOf(name);
    let isPublished = false;
    let wake = () => {};
    const listener = () => {
      isPublished = true;
      wake();
    };
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners.add(listener));
    return {
      next: (ms, signal) =>
        new Promise((resolve, reject) => {
          const end = () => {
            clearTimeout(timer);
            signal.removeEventListener("abort", abort);
            wake = () => {};
            isPublished = false;
            resolve();
          };
          const abort = () => {
            clearTimeout(timer);
            reject(signal.reason);
          };
          const timer = setTimeout(end, isPublished ? 0 : ms);
          if (signal.aborted) return abort();
          signal.addEventListener("abort", abort, { once: true });
          wake = end;
        }),
      stop: () => {
        listeners.delete(listener);
        if (listeners.size === 0 && this.#listeners.get(topic) === listeners)
          this.#listeners.delete(topic);
      },
    };
  }

  #send(): void {
    this.#gathering = undefined;
    const topics = [...this.#published].join(" ");
    const isForAll = this.#published.has(everybody) || topics.length > payloadMax;
    this.#published = new Set();
    const payload = isForAll ? everybody : topics;
    void this.#ask((sql) => sql`select pg_notify(${channel}, ${payload})`);
  }

  #receive(payload: string): void {
    const topics = payload === everybody ? [...this.#listeners.keys()] : payload.split(" ");
    for (const topic of topics) for (const wake of this.#listeners.get(topic) ?? []) wake();
  }

  async #open(): Promise<void> {
    const options = {
      max: 1,
      fetch_types: false,
      onnotify: (_channel: string, payload: string) => this.#receive(payload),
      onclose: () => this.#reopen(),
      connection: { application_name: "cortex-store bus" },
    };
    this.#sql = connect(this.url, options, this.#sockets);
    await this.#ask((sql) => sql`listen ${sql(channel)}`);
    this.#receive(everybody); // names may have been published while there was no connection
  }

  /** Asks the database. If there is no answer in time, the connection is opened anew. */
  async #ask(build: (sql: Sql) => Promise<unknown>): Promise<void> {
    if (!this.#sql) return;
    const timer = setTimeout(() => this.#reopen(), answerMsMax).unref();
    try {
      await build(this.#sql);
    } catch {
      this.#reopen(); // without the bus, those who listen look from time to time; the monitor logs the failure
    } finally {
      clearTimeout(timer);
    }
  }

  #reopen(): void {
    if (this.#closed || this.#reconnecting) return;
    void this.#drop();
    this.#reconnecting = setTimeout(() => {
      this.#reconnecting = undefined;
      void this.#open();
    }, reconnectMs).unref();
  }

  async #drop(): Promise<void> {
    const sql = this.#sql;
    this.#sql = undefined;
    await sql?.end({ timeout: 0 }).catch(() => {});
    for (const socket of this.#sockets) socket.destroy();
  }
}
