// What the change feed costs a write, and how soon a change is delivered.
import { setTimeout as pause } from "node:timers/promises";
import type { Cortex } from "../client/index.js";
import { median } from "./measure.js";
import { cpuMs, postmasterOf, serverOn } from "./process.js";

const rounds = 9;
const value = { text: "x".repeat(196) }; // 210 bytes

export async function watch(url: string): Promise<void> {
  const postmaster = await postmasterOf(url);
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
