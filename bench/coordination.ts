// What claims and events cost: CPU time of server and Postgres for each call, as a ratio to plain calls of the same run.
import { setTimeout as pause } from "node:timers/promises";
import type { Claim } from "../client/index.js";
import { connect } from "../server/postgres/connection.js";
import { median } from "./measure.js";
import { cpuMs, postmasterOf, serverOn } from "./process.js";

const rounds = 9;
const data = { text: "x".repeat(199) }; // 210 bytes

type Work = (n: number) => Promise<unknown>;

export async function claims(url: string): Promise<void> {
  const postmaster = await postmasterOf(url);
  const { cortex, pid, stop } = await serverOn(url, "claims");
  const sql = connect(url, { max: 64, prepare: true });
  await sql`create table plain (name text primary key, value json)`;
  const pairs: Record<string, Work> = {
    "acquire + release": async (n) => {
      const claim = await cortex.claims.acquire(`c${n}`, { ttlSeconds: 60, value: data });
      await (claim as Claim).release();
    },
    "Set + Delete": async (n) => {
      await cortex.mutable.set("ns", `k${n}`, data);
      await cortex.mutable.delete("ns", `k${n}`);
    },
    "insert + delete, in plain SQL": async (n) => {
      await sql`insert into plain values (${`k${n}`}, ${JSON.stringify(data)}::text::json)`;
      await sql`delete from plain where name = ${`k${n}`}`;
    },
  };
  for (const [concurrency, count] of [
    [1, 500],
    [64, 4000],
  ] as const) {
    const costs = await inTurn(pairs, { concurrency, count }, [pid, postmaster]);
    const [own, ...others] = Object.entries(costs);
    for (const [name, ms] of others)
      console.log(
        `${own?.[0]} by ${concurrency}: ${own?.[1].toFixed(3)} ms of CPU, ${name} ${ms.toFixed(3)} ms, ratio ${((own?.[1] ?? 0) / ms).toFixed(2)}`,
      );
  }
  await sql.end();
  await stop();
}

/** The median cost of one work of each kind, in CPU ms of the processes. The kinds take turns. */
async function inTurn(
  works: Record<string, Work>,
  { concurrency, count }: { concurrency: number; count: number },
  pids: number[],
): Promise<Record<string, number>> {
  const used = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  const costs: Record<string, number[]> = {};
  for (let round = 0; round <= rounds; round++)
    for (const [name, work] of Object.entries(works)) {
      const before = used();
      let left: number = count;
      await Promise.all(
        Array.from({ length: concurrency }, async () => {
          while (left-- > 0) await work(left);
        }),
      );
      if (round > 0) costs[name] = [...(costs[name] ?? []), (used() - before) / count]; // 0 warms up
    }
  return Object.fromEntries(Object.entries(costs).map(([name, all]) => [name, median(all)]));
}

export async function events(url: string): Promise<void> {
  const postmaster = await postmasterOf(url);
  const { cortex, pid, stop } = await serverOn(url, "events");
  const used = () => cpuMs(pid) + cpuMs(postmaster);
  /** CPU ms for each publish. */
  const cost = async (concurrency: number, count: number, pauseMs = 0) => {
    const all: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const before = used();
      let left = count;
      await Promise.all(
        Array.from({ length: concurrency }, async () => {
          while (left-- > 0) {
            await cortex.events.publish("bench:published", data);
            if (pauseMs > 0) await pause(pauseMs);
          }
        }),
      );
      all.push((used() - before) / count);
    }
    return median(all.slice(1));
  };
  const alone = await cost(64, 3000);
  const set = await inTurn(
    { Set: (n) => cortex.mutable.set("ns", `k${n}`, data) },
    { concurrency: 64, count: 3000 },
    [pid, postmaster],
  );
  let arrived = 0;
  let latest = 0;
  const handler = () => {
    arrived++;
    latest = performance.now();
  };
  const subscribe = (pattern: string) =>
    Promise.all(Array.from({ length: 100 }, () => cortex.events.subscribe(pattern, handler)));
  const others = await subscribe("bench:other:*");
  const unmatched = await cost(64, 3000);
  for (const end of others) end();
  // At a pace that one process can receive: 100 subscribers get 100 events for each publish.
  const paced = [1, 300, 4] as const;
  const unheard = await cost(...paced);
  const matched = await subscribe("bench:*");
  const delivered = await cost(...paced);
  const expected = 100 * rounds * paced[1];
  for (let waited = 0; arrived < expected && waited < 30_000; waited += 50) await pause(50);
  console.log(
    `publish by 64: ${alone.toFixed(3)} ms of CPU, ${(alone / (set.Set as number)).toFixed(2)} of a Set; with 100 subscribers to other channels ${unmatched.toFixed(3)} ms`,
  );
  console.log(
    `publish by 1: ${unheard.toFixed(3)} ms of CPU, to 100 subscribers ${delivered.toFixed(3)} ms: ${((delivered - unheard) / 100).toFixed(4)} ms for each delivery; ${arrived} of ${expected} came`,
  );
  const waits: number[] = [];
  for (let i = 0; i < 200; i++) {
    arrived = 0;
    await cortex.events.publish("bench:quiet", data);
    const repliedAt = performance.now();
    while (arrived < 100) await pause(1);
    waits.push(Math.max(0, latest - repliedAt));
    await pause(10 + Math.random() * 10);
  }
  waits.sort((a, b) => a - b);
  const at = (share: number) => waits[Math.floor(share * (waits.length - 1))]?.toFixed(1);
  console.log(
    `from the reply to a publish until all of 100 subscribers have the event: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
  );
  for (const end of matched) end();
  await stop();
}
