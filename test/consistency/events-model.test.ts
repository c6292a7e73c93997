// Subscribers with all kinds of patterns on two servers, publishers of every kind, and relays that answer events with
// events. Each subscriber gets exactly the events that match and were committed, once, none before what it can have
// seen, and those of a transaction together. A subscriber whose connection is cut misses events, but gets none twice.
import { expect, it } from "vitest";
import type { Cortex, EventEnvelope } from "../../client/index.js";
import { subscribed } from "../support/events.js";
import { proxyTo } from "../support/proxy.js";
import { serve } from "../support/server.js";

const publishers = 16;
const rounds = Number(process.env.EVENT_ROUNDS ?? 25);
const s = serve();

interface Data {
  /** The number of its publisher, and its number among the events of that publisher: together unique. */
  by: number;
  n: number;
  /** The transaction that it is part of. */
  together: string;
  /** The event that it answers. */
  answers?: string;
}

const idOf = ({ by, n }: Data) => `${by}/${n}`;
const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T;
const segment = () => pick(["a", "b", "c"]);
const channel = () => Array.from({ length: pick([1, 2, 3]) }, segment).join(":");

function pattern(): string {
  const segments = Array.from({ length: pick([1, 2, 3]) }, () => pick(["a", "b", "*"]));
  return [...segments, ...(Math.random() < 0.3 ? ["**"] : [])].join(":");
}

/** Matches by a regular expression, independently of the server. */
const matches = (pattern: string, channel: string) =>
  new RegExp(
    `^${pattern
      .split(":")
      .map((one) => ({ "*": "[^:]*", "**": ".*" })[one] ?? one)
      .join(":")}$`,
  ).test(channel);

/** One publisher: what it has published, by channel, in its order. */
async function publish(cortex: Cortex, by: number, published: [string, Data][]): Promise<void> {
  let n = 0;
  for (let round = 0; round < rounds; round++) {
    const together = `${by}:${round}`;
    const some = Array.from({ length: pick([1, 1, 2, 5]) }, (): [string, Data] => [
      channel(),
      { by, n: n++, together },
    ]);
    const events = some.map(([channel, data]) => ({ channel, data }));
    const [first] = events as [(typeof events)[number]];
    const { mutable } = cortex;
    if (some.length === 1 && Math.random() < 0.5)
      await cortex.events.publish(first.channel, first.data);
    else
      await pick([
        () => cortex.events.publishMany(events),
        () =>
          mutable.transaction([
            { op: "set", namespace: "n", key: pick(["x", "y"]), value: by },
            ...events.map((event) => ({ op: "publish" as const, ...event })),
          ]),
        () =>
          mutable.transaction((tx) => {
            tx.set("n", pick(["x", "y", "z"]), tx.get("n", "x"));
            for (const { channel, data } of events) tx.publish(channel, data);
          }),
        () =>
          mutable.transaction((tx) => {
            tx.list("n"); // so that it takes locks
            for (const { channel, data } of events) tx.publish(channel, data);
          }),
      ])();
    published.push(...some);
    if (Math.random() < 0.2) {
      const refused = mutable.transaction([
        { op: "publish", channel: channel(), data: { by, n: -1, together: "refused" } },
        { op: "delete", namespace: "n", key: "missing" },
      ]);
      await expect(refused).rejects.toMatchObject({ code: "TRANSACTION_FAILED" });
    }
  }
}

function check(pattern: string, got: EventEnvelope<Data>[], published: [string, Data][]): void {
  const places = new Map(got.map(({ data }, i) => [idOf(data), i]));
  expect(places.size, "none comes twice").toBe(got.length);
  for (const { type, data } of got) {
    expect(matches(pattern, type), `${type} matches ${pattern}`).toBe(true);
    expect(data.n).toBeGreaterThanOrEqual(0);
    const cause = places.get(data.answers ?? "");
    if (cause !== undefined) expect(places.get(idOf(data))).toBeGreaterThan(cause);
  }
  const last = new Map<number, number>();
  for (const { by, n } of got.map(({ data }) => data)) {
    expect(n, `in the order of publisher ${by}`).toBeGreaterThan(last.get(by) ?? -1);
    last.set(by, n);
  }
  const over = new Set<string>();
  got.forEach(({ data: { together } }, i) => {
    if (got[i - 1]?.data.together === together) return;
    expect(over.has(together), "a transaction is not torn apart").toBe(false);
    over.add(together);
  });
  expect(published.length).toBeGreaterThan(0);
}

it("each gets what matches, once and in order", async () => {
  const second = await s.another();
  const clients = [s.cortex, s.client({ address: second.address })];
  const cut = await proxyTo({ host: "127.0.0.1", port: Number(second.address.split(":")[1]) });
  const published: [string, Data][] = [];
  const patterns = ["**", "a:**", "*", ...Array.from({ length: 17 }, pattern)];
  const all = await Promise.all(
    patterns.map((one, i) => subscribed(clients[i % 2] as Cortex, one)),
  );
  const broken = await Promise.all(
    patterns
      .slice(0, 6)
      .map((one) => subscribed(s.client({ address: `127.0.0.1:${cut.port}` }), one)),
  );
  // Relays answer what they get. Their answers are no causes again.
  const relays = await Promise.all(
    clients.map((cortex, i) =>
      cortex.events.subscribe<Data>("a:**", async ({ data }) => {
        if (data.by >= publishers) return;
        const by = publishers + i;
        const answer = { by, n: answers[i] as number, together: `answer ${i}/${answers[i]}` };
        answers[i] = (answers[i] as number) + 1;
        const event: [string, Data] = [channel(), { ...answer, answers: idOf(data) }];
        await cortex.events.publish(...event);
        published.push(event);
      }),
    ),
  );
  const answers = clients.map(() => 0);
  const cutting = setInterval(() => cut.cut(), 300);
  await Promise.all(
    Array.from({ length: publishers }, (_, by) =>
      publish(clients[by % 2] as Cortex, by, published),
    ),
  );
  clearInterval(cutting);
  // Both relays have answered all of it once this holds.
  const causes = published.filter(([type, { by }]) => by < publishers && matches("a:**", type));
  await expect.poll(() => answers, { timeout: 30_000 }).toEqual(clients.map(() => causes.length));
  await expect
    .poll(() => published.length)
    .toBe(published.filter(([, { by }]) => by < publishers).length + 2 * causes.length);
  for (const [i, pattern] of patterns.entries()) {
    const { events, count } = all[i] as (typeof all)[number];
    const expected = published.filter(([type]) => matches(pattern, type));
    await count(expected.length);
    check(pattern, events, published);
    const ids = (data: Data[]) => data.map(idOf).sort();
    expect(ids(events.map(({ data }) => data))).toEqual(ids(expected.map(([, data]) => data)));
  }
  for (const [i, { events }] of broken.entries()) check(patterns[i] as string, events, published);
  for (const end of [...relays, ...[...all, ...broken].map(({ end }) => end)]) end();
  cut.close();
}, 300_000);
