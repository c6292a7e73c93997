// What streams cost: CPU time of server and Postgres for each entry, as a ratio to a Set, and, where Redis is installed,
// to the same on Redis with `appendfsync always`.
import type { Cortex } from "../client/index.js";
import { median } from "./measure.js";
import { cpuMs, postmasterOf, serverOn } from "./process.js";
import { type RedisConnection, startRedis } from "./redis.js";

const rounds = 7;
const count = 3000;
const batch = 10;
const concurrency = 16;
const data = { text: "x".repeat(199) }; // 210 bytes

/** The same work on Cortex Store and on Redis. */
interface Queue {
  append(producer: number): Promise<unknown>;
  /** Reads up to `batch` entries, and acknowledges them. Gives how many there were. */
  readAndAck(consumer: number): Promise<number>;
  /** Consumes so many entries, one at a time each, `concurrency` at a time. */
  consume(entries: number): Promise<void>;
}

export async function streams(url: string): Promise<void> {
  const postmaster = await postmasterOf(url);
  const { cortex, pid, stop } = await serverOn(url, "streams");
  const own = await cortexQueue(cortex);
  const set = await medianCost(
    () => work(() => cortex.mutable.set("ns", `k${Math.random()}`, data), count),
    [pid, postmaster],
  );
  const costs = await measure(own, [pid, postmaster]);
  console.log(`a Set by ${concurrency}: ${set.ms.toFixed(3)} ms of CPU, ${Math.round(set.rate)}/s`);
  const redis = await redisQueue();
  const theirs = redis && (await measure(redis.queue, [redis.pid]));
  for (const [name, { ms, rate }] of Object.entries(costs)) {
    const other = theirs?.[name];
    console.log(
      `${name}: ${ms.toFixed(3)} ms of CPU for each entry, ${(ms / set.ms).toFixed(2)} of a Set, ${Math.round(rate)}/s${
        other
          ? `; Redis ${other.ms.toFixed(3)} ms, ${Math.round(other.rate)}/s: ${(rate / other.rate).toFixed(2)} of its rate`
          : ""
      }`,
    );
  }
  if (!redis) console.log("redis-server is not installed: no comparison with it");
  await redis?.stop();
  await stop();
}

interface Cost {
  /** CPU for each entry. */
  ms: number;
  /** Entries a second. */
  rate: number;
}

async function measure(queue: Queue, pids: number[]): Promise<Record<string, Cost>> {
  // As many entries as a round consumes, and those that are read ahead.
  const fill = () => work((n) => queue.append(n), count + 2 * concurrency * batch);
  const append = await medianCost(() => work((n) => queue.append(n), count), pids);
  const readAll = async () => {
    let left = count;
    await Promise.all(
      Array.from({ length: concurrency }, async (_, consumer) => {
        while (left > 0) {
          const read = await queue.readAndAck(consumer);
          left -= read;
        }
      }),
    );
  };
  const read = await medianCost(readAll, pids, fill);
  const consume = await medianCost(() => queue.consume(count), pids, fill);
  return {
    [`append by ${concurrency}`]: append,
    [`group read of ${batch} + ack by ${concurrency}`]: read,
    [`consume at concurrency ${concurrency}`]: consume,
  };
}

/** The median of several rounds. `before` is not measured. */
async function medianCost(
  work: () => Promise<unknown>,
  pids: number[],
  before = async () => {},
): Promise<Cost> {
  const used = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  const costs: Cost[] = [];
  for (let round = 0; round < rounds; round++) {
    await before();
    const [usedBefore, at] = [used(), performance.now()];
    await work();
    const seconds = (performance.now() - at) / 1000;
    costs.push({ ms: (used() - usedBefore) / count, rate: count / seconds });
  }
  return {
    ms: median(costs.slice(1).map(({ ms }) => ms)),
    rate: median(costs.slice(1).map(({ rate }) => rate)),
  };
}

async function work(call: (worker: number) => Promise<unknown>, calls: number): Promise<void> {
  let left = calls;
  await Promise.all(
    Array.from({ length: concurrency }, async (_, worker) => {
      while (left-- > 0) await call(worker);
    }),
  );
}

async function cortexQueue(cortex: Cortex): Promise<Queue> {
  const group = (consumer: number) => cortex.streams.group("g", `c${consumer}`);
  await group(0).ensure("bench");
  return {
    append: () => cortex.streams.append("bench", data),
    async readAndAck(consumer) {
      const entries = await group(consumer).read("bench", { count: batch });
      if (entries.length > 0) await group(consumer).ack("bench", entries);
      return entries.length;
    },
    async consume(entries) {
      const controller = new AbortController();
      let left = entries;
      const handler = () => {
        if (--left === 0) controller.abort();
      };
      await group(0).consume("bench", handler, { concurrency, signal: controller.signal });
    },
  };
}

/** The same work on Redis; undefined if it is not installed. */
async function redisQueue() {
  const redis = await startRedis(concurrency);
  if (!redis) return undefined;
  const { connections } = redis;
  const any = (n: number) => connections[n % concurrency] as RedisConnection;
  await any(0).ask("XGROUP", "CREATE", "bench", "g", "0", "MKSTREAM");
  const text = JSON.stringify(data);
  const read = async (consumer: number, most: number) => {
    const command = ["XREADGROUP", "GROUP", "g", `c${consumer}`, "COUNT", `${most}`];
    const reply = await any(consumer).ask(...command, "STREAMS", "bench", ">");
    return ((reply as [string, [string, unknown][]][] | null)?.[0]?.[1] ?? []).map(([id]) => id);
  };
  const queue: Queue = {
    append: (producer) => any(producer).ask("XADD", "bench", "*", "data", text),
    async readAndAck(consumer) {
      const ids = await read(consumer, batch);
      if (ids.length > 0) await any(consumer).ask("XACK", "bench", "g", ...ids);
      return ids.length;
    },
    async consume(entries) {
      let left = entries;
      await Promise.all(
        connections.map(async (one, consumer) => {
          while (left-- > 0)
            for (const id of await read(consumer, 1)) await one.ask("XACK", "bench", "g", id);
        }),
      );
    },
  };
  return { ...redis, queue };
}
