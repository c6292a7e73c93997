import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { proxyToServer } from "../support/proxy.js";
import { serve } from "../support/server.js";
import { dataOf, fill, groupWith } from "../support/streams.js";

const s = serve();

/** Aborts once a condition holds. */
function until(condition: () => boolean): AbortSignal {
  const controller = new AbortController();
  const timer = setInterval(() => {
    if (!condition()) return;
    clearInterval(timer);
    controller.abort();
  }, 10);
  return controller.signal;
}

it("works on up to `concurrency` entries at a time, and acknowledges what succeeded", async () => {
  const group = await groupWith(s.cortex, "a", 50);
  const seen: number[] = [];
  let working = 0;
  let most = 0;
  await group.consume<number>(
    "a",
    async ({ data }) => {
      most = Math.max(most, ++working);
      await pause(5);
      working--;
      seen.push(data);
    },
    { concurrency: 8, signal: until(() => seen.length === 50) },
  );
  expect([...seen].sort((x, y) => x - y)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  expect(most).toBe(8);
  expect(await group.info("a")).toMatchObject({ pending: 0, lag: 0 });
});

it("one at a time keeps the order", async () => {
  const group = await groupWith(s.cortex, "order", 20);
  const seen: number[] = [];
  await group.consume<number>("order", ({ data }) => seen.push(data), {
    signal: until(() => seen.length === 20),
  });
  expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
});

it("gives back what threw, with the reason, until it is a dead letter", async () => {
  const group = await groupWith(s.cortex, "throws", 3, { maxDeliveries: 2 });
  const attempts: string[] = [];
  const errors: unknown[] = [];
  await group.consume<number>(
    "throws",
    ({ data, deliveries }) => {
      attempts.push(`${data}/${deliveries}`);
      if (data === 2) throw new Error(`bad\u0000thing ${deliveries}`);
    },
    {
      retryDelayMs: (deliveries) => deliveries * 10,
      onError: (error) => errors.push(error),
      signal: until(() => attempts.length === 4),
    },
  );
  expect(attempts.sort()).toEqual(["1/1", "2/1", "2/2", "3/1"]);
  const { entries } = await group.deadLetters("throws");
  expect(dataOf(entries)).toEqual([2]);
  expect(entries[0]?.history.map(({ reason }) => reason)).toEqual(["bad thing 1", "bad thing 2"]);
});

it("holds an entry for as long as its function works", async () => {
  const group = await groupWith(s.cortex, "slow", 1, { visibilitySeconds: 0.6 });
  const other = s.cortex.streams.group("workers", "b");
  let isDone = false;
  const consuming = group.consume(
    "slow",
    async () => {
      await pause(2000);
      isDone = true;
    },
    { signal: until(() => isDone) },
  );
  await pause(100);
  expect(await other.read("slow", { blockMs: 1500 })).toEqual([]);
  await consuming;
  expect(await group.info("slow")).toMatchObject({ pending: 0 });
});

it("tells a function that its entry has gone to another consumer", async () => {
  const group = await groupWith(s.cortex, "taken", 1, { visibilitySeconds: 0.6 });
  let lost = false;
  const consuming = group.consume(
    "taken",
    (_, { signal }) =>
      new Promise((resolve) =>
        signal.addEventListener("abort", () => {
          lost = true;
          resolve(undefined);
        }),
      ),
    { signal: until(() => lost) },
  );
  await pause(200);
  const taken = await s.cortex.streams.group("workers", "b").takeOver("taken", { minIdleMs: 0 });
  await consuming;
  expect(lost).toBe(true);
  expect(await group.ack("taken", taken)).toBe(1);
});

it("goes on after a lost connection, and waits for what may have room later", async () => {
  const stopping = await s.another();
  const port = stopping.address.split(":")[1] as string;
  const cortex = s.client({ address: stopping.address });
  const group = await groupWith(cortex, "lost", 5);
  const seen: unknown[] = [];
  const consuming = group.consume("lost", ({ data }) => seen.push(data), {
    signal: until(() => seen.length === 10),
  });
  await expect.poll(() => seen.length).toBe(5);
  await stopping.stop();
  await fill(s.cortex, "lost", 5);
  await s.another({ listen: `127.0.0.1:${port}` });
  await consuming;
  expect(seen).toHaveLength(10);
}, 60_000);

it("ends when the client is closed, and with an error that would come again", async () => {
  const cortex = s.client();
  const group = await groupWith(cortex, "closed", 0);
  const consuming = group.consume("closed", () => {});
  await pause(200);
  await cortex.close();
  await consuming;
  const other = s.cortex.streams.group("workers", "a");
  await expect(other.consume("none", () => {})).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  const waiting = other.consume("closed", () => {});
  const ended = expect(waiting).rejects.toMatchObject({ code: "GROUP_NOT_FOUND" });
  await pause(200);
  await other.delete("closed");
  await ended;
});

it("that fails waits for the functions at work, and holds their entries until then", async () => {
  const group = await groupWith(s.cortex, "fails", 1, { visibilitySeconds: 0.6 });
  const claim = (await s.cortex.claims.acquire("consumer", { ttlSeconds: 60 })) as Claim;
  let isDone = false;
  const guarded = claim.streams.group("workers", "b");
  const consuming = guarded.consume(
    "fails",
    async ({ data }) => {
      if (data !== 1) return;
      await pause(1500);
      isDone = true;
    },
    { concurrency: 2 },
  );
  const ended = expect(consuming).rejects.toMatchObject({ code: "FENCE_STALE" });
  await pause(200);
  await claim.release();
  await fill(s.cortex, "fails", 1); // its acknowledgement is refused
  await pause(900);
  expect((await group.pending("fails", { consumer: "b" })).entries[0]).toMatchObject({ data: 1 });
  await ended;
  expect(isDone).toBe(true);
});

it("gives back at its end what it was given meanwhile, as if it had not been delivered", async () => {
  const group = await groupWith(s.cortex, "stops", 0, { maxDeliveries: 1 });
  for (let round = 0; round < 30; round++) {
    const controller = new AbortController();
    const seen: unknown[] = [];
    const consuming = group.consume("stops", ({ data }) => seen.push(data), {
      signal: controller.signal,
    });
    await pause(20);
    await s.cortex.streams.append("stops", round);
    await pause(Math.random() * 6);
    controller.abort();
    await consuming;
    if (seen.length === 0) expect(dataOf(await group.read("stops"))).toEqual([round]);
    for (const { id } of (await group.pending("stops")).entries) await group.ack("stops", [id]);
  }
  expect((await group.deadLetters("stops")).entries).toEqual([]);
});

it("gives back what threw something that has no text, and what has no delay", async () => {
  const group = await groupWith(s.cortex, "strange", 2, { maxDeliveries: 1 });
  const strange = [Object.create(null), Object.assign(new Error("x"), { message: { a: 1 } })];
  let n = 0;
  await group.consume(
    "strange",
    () => {
      throw strange[n++];
    },
    { signal: until(() => n === 2) },
  );
  const { entries } = await group.deadLetters("strange");
  expect(entries.map(({ history }) => history[0]?.reason)).toEqual([
    "it threw what cannot be shown as text",
    "[object Object]",
  ]);
  await fill(s.cortex, "strange", 1);
  const retryDelayMs = () => {
    throw new Error("no delay");
  };
  const consuming = group.consume("strange", () => Promise.reject(new Error("y")), {
    retryDelayMs,
  });
  await expect(consuming).rejects.toThrow("no delay");
  expect((await group.deadLetters("strange")).entries).toHaveLength(3);
});

it("gets what was delivered to a read whose reply was lost, and counts no other delivery", async () => {
  const proxy = await proxyToServer(s.address);
  const cortex = s.client({ address: `127.0.0.1:${proxy.port}`, timeoutMs: 300 });
  const group = await groupWith(cortex, "reply", 0, { maxDeliveries: 1 });
  const seen: unknown[] = [];
  const consuming = group.consume(
    "reply",
    ({ data, deliveries }) => seen.push([data, deliveries]),
    {
      signal: until(() => seen.length > 0),
    },
  );
  await pause(300);
  proxy.hold();
  await fill(s.cortex, "reply", 1);
  const isPending = async () =>
    (await s.cortex.streams.group("workers", "b").info("reply"))?.pending;
  await expect.poll(isPending).toBe(1);
  proxy.close();
  await pause(1000); // longer than the client repeats by itself
  await proxy.open();
  await consuming;
  expect(seen).toEqual([[1, 1]]);
  proxy.close();
});

it("refuses what cannot be", async () => {
  const group = s.cortex.streams.group("workers", "a");
  const refused = (options: object, handler: unknown = () => {}) =>
    expect(group.consume("a", handler as never, options)).rejects.toMatchObject({
      code: expect.stringMatching(/^INVALID_(OPTIONS|CONFIG)$/),
    });
  await refused({ concurrency: 0 });
  await refused({ concurrency: 1001 });
  await refused({ concurrency: "2" });
  await refused({ retryDelayMs: -1 });
  await refused({ signal: 1 });
  await refused({ count: 1 });
  await refused({ onError: 1 });
  await refused({}, 1);
});
