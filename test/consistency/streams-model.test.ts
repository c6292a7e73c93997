// Consumers of one group work on a stream, on two servers, while producers append. Some consumers give entries back,
// forget them, or crash with what they hold; one server is killed (kill -9) again and again. At the end each entry was
// acknowledged once, none is lost, no two consumers held one at the same time, redeliveries are counted, the order of
// the stream was kept, and what is never acknowledged is a dead letter.
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { Cortex, CortexError, type DeliveredEntry } from "../../client/index.js";
import { freePort, spawnServer } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve();
const entriesMax = Number(process.env.STREAM_ENTRIES ?? 1500);
const killEveryMs = Number(process.env.STREAM_KILL_SECONDS ?? 3) * 1000;
const producers = 4;
const consumers = 8;
const visibilitySeconds = 1.5;
const maxDeliveries = 5;
const stream = "work";

/** Appended as data: who appended it, its number among theirs, and whether it can be worked on. */
interface Work {
  producer: number;
  n: number;
  poison: boolean;
}

/** What a consumer saw of a delivery. */
interface Seen {
  id: string;
  delivery: bigint;
  deliveries: number;
  consumer: string;
  /** When its read was sent, and when the entry was there. */
  askedAt: number;
  gotAt: number;
  /** When it was extended last: the call was sent then. */
  extendedAt?: number;
  /** How it ended, as far as the consumer knows. */
  end?: "acknowledged" | "not held" | "given back" | "unknown";
  endedAt?: number;
}

/** True for the errors of a server that is gone for a moment. */
const isPassing = (error: unknown): boolean =>
  error instanceof CortexError &&
  ["UNAVAILABLE", "DEADLINE_EXCEEDED", "SHUTTING_DOWN"].includes(error.code);

/** Makes a call until it is answered. */
async function surely<T>(call: () => Promise<T>): Promise<T> {
  for (;;)
    try {
      return await call();
    } catch (error) {
      if (!isPassing(error)) throw error;
      await pause(20);
    }
}

it(`${entriesMax} entries`, async () => {
  const port = await freePort();
  const spawn = () =>
    spawnServer(["--database-url", s.databaseUrl, "--listen", `127.0.0.1:${port}`]);
  let second = await spawn();
  const addresses = [s.address, `127.0.0.1:${port}`];
  await s.cortex.streams.group("g", "x").ensure(stream, { visibilitySeconds, maxDeliveries });

  const appended: { id: string; work: Work }[] = [];
  const seen: Seen[] = [];
  let isDone = false;
  let kills = 0;

  const produce = async (producer: number) => {
    const { streams, mutable } = s.client({ address: addresses[producer % 2] as string });
    for (let n = 0; n < entriesMax / producers; ) {
      const size = 1 + Math.floor(Math.random() * 10);
      const works = Array.from({ length: size }, () => ({
        producer,
        n: n++,
        poison: Math.random() < 0.01,
      }));
      const requestId = `append-${producer}-${n}`;
      const data = works.map((work) => ({ data: work }));
      const ids =
        Math.random() < 0.2
          ? await surely(async () => {
              const operations = works.map((data) => ({
                op: "appendEntry" as const,
                stream,
                data,
              }));
              const { results } = await mutable.transaction(operations, { requestId });
              return results.flatMap((result) => (result as { appended: string[] }).appended);
            })
          : await surely(() => streams.appendMany(stream, data, { requestId }));
      for (const [i, work] of works.entries()) appended.push({ id: ids[i] as string, work });
    }
  };

  const consumer = async (number: number) => {
    for (let life = 0; !isDone; life++) {
      const name = `${number}-${life}`;
      const cortex = new Cortex({
        address: addresses[Math.floor(Math.random() * 2)] as string,
        timeoutMs: 3000,
      });
      await live(cortex, name).catch((error) => {
        if (!isPassing(error)) throw error;
      });
      await cortex.close();
    }
  };

  /** Consumes until it crashes: then it forgets what it holds. */
  const live = async (cortex: Cortex, name: string) => {
    const group = cortex.streams.group("g", name);
    while (!isDone) {
      const askedAt = performance.now();
      const count = 1 + Math.floor(Math.random() * 20);
      const blockMs = Math.random() < 0.7 ? 500 : 0;
      const entries = await group.read<Work>(stream, { count, blockMs });
      if (entries.length === 0 && blockMs === 0) await pause(20);
      const gotAt = performance.now();
      const got = entries.map((entry): [DeliveredEntry<Work>, Seen] => {
        const { id, delivery, deliveries } = entry;
        const one = { id, delivery: BigInt(delivery), deliveries, consumer: name, askedAt, gotAt };
        seen.push(one);
        return [entry, one];
      });
      if (Math.random() < 0.03) return; // it crashes
      if (Math.random() < 0.05) await pause(visibilitySeconds * 1000 * Math.random() * 2);
      if (got.length > 0 && Math.random() < 0.1) {
        const extendedAt = performance.now();
        const extended = await group.extend(stream, entries);
        const held = new Set(extended.map(({ id }) => id));
        for (const [{ id }, one] of got) if (held.has(id)) one.extendedAt = extendedAt;
      }
      for (const [entry, one] of got) {
        if (Math.random() < 0.002) return;
        if (Math.random() < 0.01) continue; // forgotten
        one.end = "unknown";
        one.endedAt = performance.now();
        if (entry.data.poison || Math.random() < 0.02) {
          const delayMs = Math.random() < 0.5 ? 0 : 50;
          if ((await group.nack(stream, [entry], { delayMs, reason: "no" })) === 1)
            one.end = "given back";
          else one.end = "not held";
        } else one.end = (await group.ack(stream, [entry])) === 1 ? "acknowledged" : "not held";
      }
    }
  };

  const killing = (async () => {
    while (!isDone) {
      await pause(killEveryMs * (0.5 + Math.random()));
      if (isDone) break;
      second.child.kill("SIGKILL");
      await second.end();
      second = await spawn();
      kills++;
    }
  })();
  const working = Array.from({ length: consumers }, (_, i) => consumer(i));
  await Promise.all(Array.from({ length: producers }, (_, i) => produce(i)));
  await expect
    .poll(() => surely(() => s.cortex.streams.group("g", "x").info(stream)), {
      timeout: 600_000,
      interval: 200,
    })
    .toMatchObject({ lag: 0, pending: 0 });
  isDone = true;
  await Promise.all([killing, ...working]);
  await second.end();

  const inStream: { id: string; data: Work }[] = [];
  for await (const entry of s.cortex.streams.scan<Work>(stream, { limit: 1000 }))
    inStream.push(entry);
  const dead = new Map<string, number>();
  for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
    const page: Awaited<ReturnType<ReturnType<typeof s.cortex.streams.group>["deadLetters"]>> =
      await s.cortex.streams.group("g", "x").deadLetters(stream, { limit: 1000, pageToken });
    for (const { id, deliveries, history } of page.entries) {
      dead.set(id, deliveries);
      expect(history).toHaveLength(maxDeliveries);
    }
    pageToken = page.nextPageToken;
  }
  const problems = check({ appended, inStream, seen, dead });
  const acked = seen.filter(({ end }) => end === "acknowledged").length;
  console.log(
    `${inStream.length} entries, ${seen.length} deliveries, ${acked} acknowledged, ${dead.size} dead letters, ${kills} kills`,
  );
  expect(problems).toEqual([]);
  expect(await s.cortex.streams.info(stream)).toMatchObject({ length: inStream.length });
  expect(kills).toBeGreaterThan(0);
  expect(seen.length).toBeGreaterThan(inStream.length);
}, 2_400_000);

interface Record {
  appended: { id: string; work: Work }[];
  inStream: { id: string; data: Work }[];
  seen: Seen[];
  dead: Map<string, number>;
}

/** What is wrong, as sentences: at most 20. */
function check({ appended, inStream, seen, dead }: Record): string[] {
  const problems: string[] = [];
  const note = (problem: string) => problems.length < 20 && problems.push(problem);

  // Each entry that was appended is there once, under the id that was told, in the order of its producer.
  const works = new Map(inStream.map(({ id, data }) => [id, data]));
  if (works.size !== appended.length)
    note(`${appended.length} were appended, ${works.size} are there`);
  const before = new Map<number, number>();
  for (const { id, data } of inStream) {
    if ((before.get(data.producer) ?? -1) + 1 !== data.n)
      note(`${id} is out of its producer's order`);
    before.set(data.producer, data.n);
  }
  for (const { id, work } of appended)
    if (JSON.stringify(works.get(id)) !== JSON.stringify(work)) note(`${id} has something else`);

  const byId = new Map<string, Seen[]>();
  for (const one of seen) byId.set(one.id, [...(byId.get(one.id) ?? []), one]);
  for (const { id, data } of inStream) {
    const deliveries = (byId.get(id) ?? []).sort((a, b) => (a.delivery < b.delivery ? -1 : 1));
    const acknowledged = deliveries.filter(({ end }) => end === "acknowledged");
    const unknown = deliveries.some(({ end }) => end === "unknown");
    if (acknowledged.length > 1) note(`${id} was acknowledged ${acknowledged.length} times`);
    if (dead.has(id) && acknowledged.length > 0)
      note(`${id} was acknowledged, and is a dead letter`);
    if (!dead.has(id) && acknowledged.length === 0 && !unknown)
      note(`${id} is gone, unacknowledged`);
    if (data.poison && !dead.has(id) && !unknown) note(`${id} is poison, and no dead letter`);
    if (dead.has(id) && dead.get(id) !== maxDeliveries)
      note(`${id} is a dead letter after ${dead.get(id)} deliveries`);
    deliveries.forEach((one, i) => {
      const next = deliveries[i + 1];
      if (one.deliveries > maxDeliveries) note(`${id} was delivered ${one.deliveries} times`);
      if (!next) return;
      if (next.deliveries <= one.deliveries)
        note(`${id}: delivery ${next.deliveries} after ${one.deliveries}`);
      if (one.end === "acknowledged") note(`${id} was delivered after its acknowledgement`);
      // The database counts the visibility time from a moment after the call was sent.
      const until = (one.extendedAt ?? one.askedAt) + visibilitySeconds * 1000;
      const isGivenBack =
        (one.end === "given back" || one.end === "unknown") && (one.endedAt ?? 0) <= next.gotAt;
      if (next.gotAt < until - 1 && !isGivenBack && next.deliveries === one.deliveries + 1)
        note(`${id}: ${next.consumer} got it while ${one.consumer} held it`);
    });
  }

  // First deliveries follow the order of the stream.
  const firsts = seen.filter(({ deliveries }) => deliveries === 1);
  const place = new Map(inStream.map(({ id }, i) => [id, i]));
  firsts.sort((a, b) =>
    a.delivery === b.delivery
      ? (place.get(a.id) ?? 0) - (place.get(b.id) ?? 0)
      : a.delivery < b.delivery
        ? -1
        : 1,
  );
  firsts.forEach(({ id }, i) => {
    const next = firsts[i + 1];
    if (next && (place.get(next.id) ?? 0) <= (place.get(id) ?? 0))
      note(`${next.id} came before ${id}`);
  });
  return problems;
}
