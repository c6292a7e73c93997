// Servers for benchmarks, and the CPU time of processes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Cortex } from "../client/index.js";
import { connect } from "../server/postgres/connection.js";

/**
 * Starts a server on a database of its own in the cluster. Gives its client, its database, its address and process id,
 * and how to stop it.
 */
export async function serverOn(
  url: string,
  database: string,
  settings: string[] = [],
  env: NodeJS.ProcessEnv = {},
) {
  const admin = connect(url, { max: 1 });
  await admin.unsafe(`create database ${database}`).catch(() => {}); // it exists
  await admin.end();
  const own = new URL(url);
  own.pathname = database;
  const child = await started(
    [
      join(import.meta.dirname, "../server/dist/server/main.js"),
      ...["--listen", "127.0.0.1:0", "--database-url", own.href, "--log-level", "error"],
      ...settings,
    ],
    env,
  );
  const cortex = new Cortex({ address: child.address, timeoutMs: 60_000 });
  const sql = connect(own.href, { max: 10 });
  return {
    ...child,
    cortex,
    url: own.href,
    /** Its database, straight from here. */
    sql,
    async stop() {
      await cortex.close();
      await sql.end();
      await child.stop();
    },
  };
}

/** Starts a program that listens. Gives its address and process id, and how to stop it. */
export async function started(args: string[], env: NodeJS.ProcessEnv = {}) {
  // npm start sets the same flag.
  const child = spawn(process.execPath, ["--max-semi-space-size=16", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const [line] = await once(child.stdout, "data");
  return {
    address: String(line).trim().split(" ").at(-1) ?? "",
    pid: child.pid as number,
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

export type Server = Awaited<ReturnType<typeof serverOn>>;

/** The first process of the cluster. */
export async function postmasterOf(url: string): Promise<number> {
  const admin = connect(url, { max: 1 });
  const [backend] = await admin`select pg_backend_pid() as pid`;
  const postmaster = Number(statOf(backend?.pid as number)[1]);
  await admin.end();
  return postmaster;
}

/** The fields of /proc/PID/stat, beginning with the state. */
function statOf(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** The process and all its descendants. */
function processesOf(root: number): number[] {
  const parents = new Map<number, number>();
  for (const pid of readdirSync("/proc").map(Number).filter(Number.isInteger)) {
    try {
      parents.set(pid, Number(statOf(pid)[1]));
    } catch {
      // it has ended
    }
  }
  const isWithin = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === root || isWithin(parents.get(pid)));
  return [...parents.keys()].filter(isWithin);
}

/** The CPU microseconds of each process: of a root and its descendants. */
export type CpuTimes = ReadonlyMap<number, number>;

export const cpuTimes = (root: number): CpuTimes =>
  new Map(processesOf(root).map((pid) => [pid, threadNanos(pid) / 1000]));

/** What was used between two readings, without what processes used that have ended since. */
export const usedBetween = (before: CpuTimes, after: CpuTimes): number =>
  [...after].reduce((sum, [pid, micros]) => sum + micros - (before.get(pid) ?? 0), 0);

/** The CPU milliseconds that a process and its descendants have used, without those that have ended. */
export const cpuMs = (root: number): number => usedBetween(new Map(), cpuTimes(root)) / 1000;

function threadNanos(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => {
      const [used = "0"] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ");
      return sum + Number(used);
    }, 0);
  } catch {
    return 0; // it has ended
  }
}
