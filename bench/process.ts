// Servers for benchmarks, and the CPU time of processes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Cortex } from "../client/index.js";
import { connect } from "../server/postgres/connection.js";

/** Starts a server on a database of its own in the cluster, and gives its client, address and process id, and how to stop it. */
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
  const child = spawn(
    process.execPath,
    [
      "--max-semi-space-size=64",
      join(import.meta.dirname, "../server/dist/server/main.js"),
      ...["--listen", "127.0.0.1:0", "--database-url", own.href, "--log-level", "error"],
      ...settings,
    ],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } },
  );
  const [line] = await once(child.stdout, "data");
  const address = String(line).trim().split(" ").at(-1) ?? "";
  const cortex = new Cortex({ address, timeoutMs: 60_000 });
  return {
    cortex,
    address,
    pid: child.pid as number,
    async stop() {
      await cortex.close();
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

/** The CPU milliseconds that a process and all its descendants have used. */
export function cpuMs(root: number): number {
  const parents = new Map<number, number>();
  const used = new Map<number, number>();
  for (const pid of readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    try {
      const fields = statOf(pid);
      parents.set(pid, Number(fields[1]));
      // Ticks of 10 ms: its own, and those of children that have ended.
      used.set(pid, [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0) * 10);
    } catch {
      // it has ended
    }
  }
  const isWithin = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === root || isWithin(parents.get(pid)));
  return [...used].reduce((sum, [pid, ms]) => sum + (isWithin(pid) ? ms : 0), 0);
}
