// What the change feed costs a write, and how soon a change is delivered.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Cortex } from "../client/index.js";
import { connect } from "../server/postgres/connection.js";
import { median } from "./measure.js";

const rounds = 9;
const value = { text: "x".repeat(196) }; // 210 bytes

/** Starts a server on a database of its own in the cluster, and gives its client and the process. */
async function serverOn(url: string, database: string, settings: string[] = []) {
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
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await once(child.stdout, "data");
  const address = String(line).trim().split(" ").at(-1) ?? "";
  const cortex = new Cortex({ address, timeoutMs: 60_000 });
  return {
    cortex,
    pid: child.pid as number,
    async stop() {
      await cortex.close();
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

const parentOf = (pid: number): number => Number(statOf(pid)[1]);

/** The fields of a process from its state on. */
function statOf(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** The CPU milliseconds that a process and all its descendants have used. */
function cpuMs(root: number): number {
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

export async function watch(url: string): Promise<void> {
  const admin = connect(url, { max: 1 });
  const [backend] = await admin`select pg_backend_pid() as pid`;
  const postmaster = parentOf(backend?.pid as number);
  await admin.end();
  const logged = await serverOn(url, "logged");
  const bare = await serverOn(url, "bare", ["--watch-retention", "0"]);
  for (const [concurrency, count] of [
    [64, 6000],
    [1, 600],
  ] as const) {
    const costs = { logged: [] as number[], bare: [] as number[] };
    const measure = async ({ cortex, pid }: typeof logged) => {
      const before = cpuMs(pid) + cpuMs(postmaster);
      let left: number = count;
      await Promise.all(
        Array.from({ length: concurrency }, async () => {
          while (left-- > 0) await cortex.mutable.set("ns", `k${left % 1000}`, value);
        }),
      );
      return (cpuMs(pid) + cpuMs(postmaster) - before) / count;
    };
    await measure(logged); // warm-up
    await measure(bare);
    for (let round = 0; round < rounds; round++) {
      costs.logged.push(await measure(logged));
      costs.bare.push(await measure(bare));
    }
    const [a, b] = [median(costs.logged), median(costs.bare)];
    console.log(
      `Set by ${concurrency}: CPU of server and Postgres with the log ${a.toFixed(3)} ms, without ${b.toFixed(3)} ms, ratio ${(a / b).toFixed(2)}`,
    );
  }
  const other = await serverOn(url, "logged");
  await deliveries("on the same server", logged.cortex, logged.cortex);
  await deliveries("on another server", logged.cortex, other.cortex);
  for (const server of [logged, bare, other]) await server.stop();
}

/** Measures the time from the reply to a Set until a watch has the change. */
async function deliveries(where: string, writer: Cortex, watcher: Cortex): Promise<void> {
  const count = 300;
  const arrivals = new Map<string, number>();
  const stop = new AbortController();
  let begun = () => {};
  const isBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const reading = (async () => {
    const options = { signal: stop.signal, onProgress: () => begun() };
    for await (const { revision } of watcher.mutable.watch("quiet", options))
      arrivals.set(revision, performance.now());
  })().catch(() => {}); // it is aborted at the end
  await isBegun;
  const replies: [revision: string, at: number][] = [];
  for (let i = 0; i < count; i++) {
    const { revision } = await writer.mutable.set("quiet", "k", i);
    replies.push([revision, performance.now()]);
    await pause(15 + Math.random() * 20);
  }
  await pause(1500);
  stop.abort();
  await reading;
  const waits = replies
    .map(([revision, at]) => Math.max(0, (arrivals.get(revision) ?? Number.NaN) - at))
    .sort((a, b) => a - b);
  const at = (share: number) => waits[Math.floor(share * (count - 1))]?.toFixed(1);
  console.log(`a change is delivered ${where} after p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
}
