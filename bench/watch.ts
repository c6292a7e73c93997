// What the change feed costs a write, and how soon a change is delivered.
import { setMaxListeners } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { Cortex } from "../client/index.js";
import { median } from "./measure.js";
import { cpuMs, postmasterOf, type Server, serverOn } from "./process.js";

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
  await besideOthers(logged, postmaster);
  const other = await serverOn(url, "logged");
  await deliveries("on the same server", logged.cortex, logged.cortex);
  await deliveries("on another server", logged.cortex, other.cortex);
  for (const server of [logged, bare, other]) await server.stop();
}

/** What a Set costs while many watches look at other names. One watch of it is open all the while. */
async function besideOthers({ cortex, pid, address }: Server, postmaster: number): Promise<void> {
  const count = 3000;
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const clients: Cortex[] = [];
  const open = async (client: Cortex, namespace: string) => {
    await new Promise<void>((resolve) => {
      const options = { signal: stop.signal, onProgress: () => resolve() };
      void drain(client.mutable.watch(namespace, options));
    });
  };
  const cost = async () => {
    const costs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const before = cpuMs(pid) + cpuMs(postmaster);
      let left = count;
      await Promise.all(
        Array.from({ length: 64 }, async () => {
          while (left-- > 0) await cortex.mutable.set("watched", `k${left}`, value);
        }),
      );
      costs.push((cpuMs(pid) + cpuMs(postmaster) - before) / count);
    }
    return median(costs);
  };
  await open(cortex, "watched");
  const alone = await cost();
  for (let i = 0; i < 2000; i++) {
    if (i % 500 === 0) clients.push(new Cortex({ address, timeoutMs: 60_000 }));
    await open(clients.at(-1) as Cortex, `other-${i}`);
  }
  const beside = await cost();
  console.log(
    `Set by 64 beside 2000 watches of other names: ${beside.toFixed(3)} ms of CPU, without them ${alone.toFixed(3)} ms, ratio ${(beside / alone).toFixed(2)}`,
  );
  stop.abort();
  for (const client of clients) await client.close();
}

async function drain(watch: AsyncGenerator): Promise<void> {
  try {
    for await (const _ of watch);
  } catch {
    // it is aborted at the end
  }
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
