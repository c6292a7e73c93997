// The adapter for @igniter-js/store: Redis' meaning of each call, in both forms. The package itself runs over it in
// test/igniter.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type CortexStoreAdapter, cortexStoreAdapter } from "../../client/igniter/index.js";
import { serve } from "../support/server.js";

const s = serve({ sweepSeconds: 0.2 });
let namespaces = 0;
const newAdapter = (options = {}): CortexStoreAdapter =>
  cortexStoreAdapter(s.cortex, { namespace: `ns-${++namespaces}`, ...options });
let names = 0;
const newName = () => `name-${++names}`;

describe("keys", () => {
  it("are got, set, removed and found, under the names of both interfaces", async () => {
    const adapter = newAdapter();
    expect(adapter.client).toBe(s.cortex);
    expect(await adapter.get("k")).toBeNull();
    expect(await adapter.exists("k")).toBe(false);
    await adapter.set("k", { a: [1, null] });
    expect(await adapter.get("k")).toEqual({ a: [1, null] });
    expect([await adapter.exists("k"), await adapter.has("k")]).toEqual([true, true]);
    expect(await adapter.remove("k")).toBe(true);
    expect(await adapter.remove("k")).toBe(false);
    await adapter.set("k", null);
    expect([await adapter.get("k"), await adapter.has("k")]).toEqual([null, true]);
    await adapter.delete("k");
    await adapter.delete("k");
    expect(await adapter.has("k")).toBe(false);
  });

  it("expire as on Redis: ttl 0 is none, a set without ttl ends the old one, expire 0 removes", async () => {
    const adapter = newAdapter();
    await adapter.set("zero", 1, { ttl: 0 });
    await adapter.set("ended", 1, { ttl: 0.2 });
    await adapter.set("ended", 2);
    await adapter.set("short", 1, { ttl: 0.2 });
    await adapter.set("counted", 1, { ttl: 0.2 });
    await adapter.increment("counted");
    await adapter.set("removed", 1);
    expect(await adapter.expire("removed", 0)).toBe(true);
    expect(await adapter.expire("removed", -1)).toBe(false);
    expect(await adapter.expire("none", 10)).toBe(false);
    expect(await adapter.expire("zero", 3600)).toBe(true);
    expect(await adapter.mget(["removed", "zero", "ended"])).toEqual([null, 1, 2]);
    await expect.poll(() => adapter.mget(["short", "counted"])).toEqual([null, null]);
    expect(await adapter.mget(["zero", "ended"])).toEqual([1, 2]);
    await expect(adapter.set("k", 1, { ttl: -5 })).rejects.toMatchObject({ code: "INVALID_TTL" });
    await expect(adapter.expire("k", "x" as never)).rejects.toMatchObject({ code: "INVALID_TTL" });
  });

  it("hold copies by way of JSON; what JSON cannot hold is refused", async () => {
    const adapter = newAdapter();
    const date = new Date(0);
    await adapter.set("k", { a: undefined, n: Number.NaN, date, map: new Map([[1, 2]]) });
    expect(await adapter.get("k")).toEqual({ n: null, date: date.toJSON(), map: {} });
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    for (const value of [circle, 1n, { big: 1n }, undefined, () => {}, Symbol("x")]) {
      const refused = { name: "CortexError", code: "INVALID_VALUE" };
      await expect(adapter.set("k", value)).rejects.toMatchObject(refused);
      await expect(adapter.setNX("k", value)).rejects.toMatchObject(refused);
      await expect(adapter.mset([{ key: "k", value }])).rejects.toMatchObject(refused);
      await expect(adapter.publish("c", value as never)).rejects.toMatchObject(refused);
      await expect(adapter.xadd("s", value)).rejects.toMatchObject(refused);
    }
    expect(await adapter.get("k")).toMatchObject({ n: null });
  });

  it("are counted from 0, and set only once by setNX", async () => {
    const adapter = newAdapter();
    expect(await adapter.increment("n")).toBe(1);
    expect(await adapter.increment("n", -3)).toBe(-2);
    expect(await adapter.incrby("n", 10)).toBe(8);
    expect(await adapter.get("n")).toBe(8);
    await adapter.set("text", "5");
    await expect(adapter.increment("text")).rejects.toMatchObject({ code: "VALUE_NOT_NUMERIC" });
    const got = await Promise.all([1, 2, 3].map((i) => adapter.setNX("lock", i, { ttl: 0.3 })));
    expect(got.filter(Boolean)).toHaveLength(1);
    await expect.poll(() => adapter.setNX("lock", 4)).toBe(true);
    expect(await adapter.setNX("lock", 5, { ttl: 1 })).toBe(false);
  });

  it("are read and stored by the thousand, in order; of equal keys the last one stays", async () => {
    const adapter = newAdapter();
    expect(await adapter.mget([])).toEqual([]);
    await adapter.mset([]);
    await adapter.mset([
      { key: "a", value: 1 },
      { key: "b", value: 2, ttl: 3600 },
      { key: "a", value: 3 },
    ]);
    expect(await adapter.mget(["b", "none", "a", "a"])).toEqual([2, null, 3, 3]);
    const many = Array.from({ length: 2500 }, (_, i) => ({ key: `many-${i}`, value: i }));
    await adapter.mset(many);
    expect(await adapter.mget(many.map(({ key }) => key))).toEqual(many.map(({ value }) => value));
    const large = Array.from({ length: 6 }, (_, i) => ({
      key: `large-${i}`,
      value: `${i}`.repeat(1_000_000),
    }));
    await adapter.mset(large);
    expect(await adapter.mget(large.map(({ key }) => key))).toEqual(
      large.map(({ value }) => value),
    );
  });

  it("are scanned by glob patterns, in both forms, each key that stays exactly once", async () => {
    const adapter = newAdapter();
    const keys = Array.from({ length: 95 }, (_, i) => `user:${i}`);
    await adapter.mset([...keys, "user*", "user?", "[x]"].map((key) => ({ key, value: 1 })));
    const scanned = async (pattern: string, byMatch: boolean) => {
      const found: string[] = [];
      let cursor = "0";
      do {
        const page: { cursor: string; keys: string[] } = byMatch
          ? await adapter.scan(cursor, { match: pattern, count: 10 })
          : await adapter.scan(pattern, { cursor, count: 10 });
        found.push(...page.keys);
        cursor = page.cursor;
        await adapter.set(`user:new-${found.length}`, 1);
        await adapter.remove(`user:new-${found.length}`);
      } while (cursor !== "0");
      return found;
    };
    for (const byMatch of [false, true]) {
      const found = await scanned("user:*", byMatch);
      expect(found.filter((key) => !key.includes("new")).sort()).toEqual([...keys].sort());
    }
    expect(await scanned("user\\*", false)).toEqual(["user*"]);
    expect(await scanned("user\\?", false)).toEqual(["user?"]);
    expect(await scanned("\\[x\\]", false)).toEqual(["[x]"]);
    expect(await scanned("user:[12]", false)).toEqual(["user:1", "user:2"]);
    expect(await scanned("user:?", false)).toHaveLength(10);
    expect((await adapter.scan("user:*")).keys).toHaveLength(10);
    expect((await adapter.scan("user:*", { count: 5000 })).keys).toHaveLength(95);
  });
});

describe("channels", () => {
  it("give messages as copies, to each callback once, until it is unsubscribed", async () => {
    const adapter = newAdapter();
    const channel = newName();
    const a: unknown[] = [];
    const b: unknown[] = [];
    const onA = (message: unknown) => void a.push(message);
    const onB = (message: unknown) => void b.push(message);
    expect(await adapter.publish(channel, "nobody")).toBe(0);
    await Promise.all([adapter.subscribe(channel, onA), adapter.subscribe(channel, onA)]);
    await adapter.subscribe(channel, onB);
    const message = { n: 1 };
    expect(await adapter.publish(channel, message as never)).toBe(2);
    await expect.poll(() => [a.length, b.length]).toEqual([1, 1]);
    expect(a[0]).toEqual(message);
    expect(a[0]).not.toBe(b[0]);
    await adapter.unsubscribe(channel, onA);
    await expect.poll(() => adapter.publish(channel, "second")).toBe(1);
    await expect.poll(() => b.at(-1)).toBe("second");
    await adapter.unsubscribe(channel);
    await adapter.unsubscribe(channel);
    await adapter.unsubscribe("never", onA);
    await expect.poll(() => adapter.publish(channel, "third")).toBe(0);
    expect(a).toHaveLength(1);
  });

  it("match wildcards, and refuse what cannot be", async () => {
    const adapter = newAdapter();
    const name = newName();
    const got: unknown[] = [];
    await adapter.subscribe(`${name}:*`, (message) => void got.push(message));
    await adapter.subscribe(`${name}:**`, (message) => void got.push(message));
    await adapter.publish(`${name}:a`, "a");
    await adapter.publish(`${name}:a:b`, "ab");
    await expect.poll(() => got.length).toBe(3);
    expect(got.filter((one) => one === "a")).toHaveLength(2);
    await expect(adapter.subscribe("", () => {})).rejects.toMatchObject({
      code: "INVALID_CHANNEL",
    });
    await expect(adapter.publish("a:*", "x")).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
  });

  it("have no wildcards in what the package puts before the name of an event", async () => {
    const adapter = newAdapter();
    const name = newName();
    const channel = (id: string, event = "e") => `igniter:store:${name}:org:${id}:events:${event}`;
    const got: unknown[] = [];
    const ids = ["*", "**", "victim", "%2A", "x:events:*"];
    for (const id of ids)
      await adapter.subscribe(channel(id), (message) => void got.push([id, message]));
    await adapter.subscribe(channel("*", "*"), (message) => void got.push(["all", message]));
    for (const id of ids) await adapter.publish(channel(id), id);
    await expect.poll(() => got.length, { timeout: 15_000 }).toBe(ids.length + 1);
    expect(got.sort()).toEqual([...ids.map((id) => [id, id]), ["all", "*"]].sort());
  });

  it("are heard at the same time: no message waits for the callback of the one before", async () => {
    const adapter = newAdapter();
    const channel = newName();
    const second = new Promise<void>((resolve) => {
      void adapter.subscribe(channel, async (message) => {
        if ((message as unknown) === 2) resolve();
        else await second;
      });
    });
    await expect.poll(() => adapter.publish(channel, 0 as never)).toBe(1);
    await adapter.publish(channel, 2 as never);
    await second;
  });
});

describe("streams", () => {
  it("have messages in the one form and fields in the other, and either reads both", async () => {
    const adapter = newAdapter();
    const stream = newName();
    const messages = [{ a: 1 }, "text", "*", "5-1", null, [1], { data: "5" }, { message: 1 }];
    for (const message of messages) await adapter.xadd(stream, message, { maxLen: 100 });
    const fields = [{ data: '{"b":2}' }, { x: "1", y: "2" }, { data: "no json" }];
    for (const one of fields) await adapter.xadd(stream, "*", one);
    await s.cortex.streams.append(stream, { native: true });
    const read = [{ b: 2 }, { x: "1", y: "2" }, { data: "no json" }, { native: true }];
    expect((await adapter.xrange(stream)).map(({ message }) => message)).toEqual([
      ...messages,
      ...read,
    ]);
    await adapter.xgroupCreate(stream, "g");
    const [found] = await adapter.xreadgroup("g", "c", [{ key: stream, id: ">" }]);
    expect(found?.key).toBe(stream);
    expect(found?.messages.map((one) => one.fields)).toEqual([
      ...messages.map((message) => ({ data: JSON.stringify(message) })),
      ...fields,
      { data: '{"native":true}' },
    ]);
  });

  it("take ids and limits, and give ranges in both directions", async () => {
    const adapter = newAdapter();
    const stream = newName();
    expect(await adapter.xadd(stream, "5-1", { f: "1" })).toBe("5-1");
    await expect(adapter.xadd(stream, "5-1", { f: "1" })).rejects.toMatchObject({
      code: "ENTRY_ID_TOO_LOW",
    });
    await adapter.xadd(stream, "6-1", { f: "2" }, { maxLen: 10, approximate: true });
    await adapter.xadd(stream, "7-1", { f: "3" });
    const ids = async (range: Promise<{ id: string }[]>) => (await range).map(({ id }) => id);
    expect(await ids(adapter.xrange(stream))).toEqual(["5-1", "6-1", "7-1"]);
    expect(await ids(adapter.xrevrange(stream, { count: 2 }))).toEqual(["7-1", "6-1"]);
    expect(await ids(adapter.xrange(stream, { startId: "6", endId: "+" }))).toEqual(["6-1", "7-1"]);
    expect(await ids(adapter.xrange(stream, { startId: "-", endId: "6" }))).toEqual(["5-1", "6-1"]);
    expect(await ids(adapter.xrange(stream, { count: 0 }))).toEqual([]);
    expect(await adapter.xrange("none")).toEqual([]);
    await adapter.xadd(stream, { last: true }, { maxLen: 2 });
    expect(await ids(adapter.xrange(stream))).toHaveLength(2);
    const long = newName();
    await s.cortex.streams.appendMany(
      long,
      Array.from({ length: 1500 }, (_, i) => ({ data: i })).slice(0, 1000),
    );
    await s.cortex.streams.appendMany(
      long,
      Array.from({ length: 500 }, (_, i) => ({ data: i })),
    );
    expect(await adapter.xrange(long)).toHaveLength(1500);
  });

  it("share their entries in a group; an ack by id acknowledges whoever holds the entry", async () => {
    const adapter = newAdapter();
    const stream = newName();
    await adapter.xgroupCreate(stream, "g", "0");
    await adapter.xgroupCreate(stream, "g", "$", { mkstream: true });
    for (let n = 0; n < 30; n++) await adapter.xadd(stream, n);
    const [one, other] = await Promise.all([
      adapter.xreadgroup(stream, "g", "c1", { count: 15 }),
      adapter.xreadgroup(stream, "g", "c2", { count: 15 }),
    ]);
    const got = [...one, ...other].map(({ message }) => message).sort((a, b) => a - b);
    expect(got).toEqual(Array.from({ length: 30 }, (_, n) => n));
    expect(await adapter.xreadgroup(stream, "g", "c1")).toEqual([]);
    const ids = [...one, ...other].map(({ id }) => id);
    expect(await adapter.xack(stream, "g", [...ids, "1-1"])).toBe(30);
    expect(await adapter.xack(stream, "g", ids)).toBe(0);
    expect(await adapter.xack(stream, "g", [])).toBe(0);
    await expect(adapter.xreadgroup(stream, "none", "c")).rejects.toMatchObject({
      code: "GROUP_NOT_FOUND",
    });
  });

  it("give a reader what its consumer holds, after an id", async () => {
    const adapter = newAdapter();
    const stream = newName();
    await adapter.xgroupCreate(stream, "g");
    for (const n of [1, 2, 3]) await adapter.xadd(stream, n);
    const held = await adapter.xreadgroup(stream, "g", "c", { count: 2 });
    const history = async (id: string, count?: number) =>
      (await adapter.xreadgroup("g", "c", [{ key: stream, id }], { ...(count && { count }) }))
        .flatMap(({ messages }) => messages)
        .map(({ id }) => id);
    expect(await history("0")).toEqual(held.map(({ id }) => id));
    expect(await history("0", 1)).toEqual([held[0]?.id]);
    expect(await history(held[0]?.id ?? "")).toEqual([held[1]?.id]);
    await adapter.xack(stream, "g", [held[0]?.id ?? ""]);
    expect(await history("0")).toEqual([held[1]?.id]);
    expect(await adapter.xreadgroup("g", "other", [{ key: stream, id: "0" }])).toEqual([]);
  });

  it("wake one of two readers that wait, who hold up nothing else", async () => {
    const adapter = newAdapter();
    const stream = newName();
    await adapter.xgroupCreate(stream, "g", "$");
    const readers = ["a", "b"].map((consumer) =>
      adapter.xreadgroup(stream, "g", consumer, { blockMs: 1500, count: 10 }),
    );
    await pause(100);
    await adapter.set("meanwhile", 1);
    expect(await adapter.get("meanwhile")).toBe(1);
    await adapter.xadd(stream, "one");
    const got = await Promise.all(readers);
    expect(got.flat()).toMatchObject([{ message: "one" }]);
  });

  it("wait together: the first that has an entry ends the wait", async () => {
    const adapter = newAdapter();
    const [first, second] = [newName(), newName()];
    for (const stream of [first, second]) await adapter.xgroupCreate(stream, "g", "$");
    const both = [first, second].map((key) => ({ key, id: ">" }));
    expect(await adapter.xreadgroup("g", "c", both)).toEqual([]);
    const reading = adapter.xreadgroup("g", "c", both, { blockMs: 20_000 });
    await pause(100);
    const appendedAt = performance.now();
    await adapter.xadd(second, "*", { f: "1" });
    expect(await reading).toMatchObject([{ key: second, messages: [{ fields: { f: "1" } }] }]);
    expect(performance.now() - appendedAt).toBeLessThan(5000);
    await adapter.xadd(first, "*", { f: "2" });
    expect(await adapter.xreadgroup("g", "c", both, { blockMs: 1000 })).toMatchObject([
      { key: first },
    ]);
  });

  it("lose nothing if several have entries at the same moment", async () => {
    const adapter = newAdapter();
    const keys = [newName(), newName(), newName()];
    for (const key of keys) await adapter.xgroupCreate(key, "g", "$");
    const streams = keys.map((key) => ({ key, id: ">" }));
    for (let round = 0; round < 10; round++) {
      const reading = adapter.xreadgroup("g", "c", streams, { blockMs: 20_000 });
      await pause(30);
      const ids = await Promise.all(
        keys.map(async (key, i) => {
          await pause(i * round);
          return adapter.xadd(key, "*", { n: `${round}` });
        }),
      );
      const got = [await reading, await adapter.xreadgroup("g", "c", streams)].flat();
      const read = got.flatMap(({ messages }) => messages.map(({ id }) => id));
      expect(read.sort()).toEqual([...ids].sort());
    }
  });

  it("give back what was taken if one of several has no group", async () => {
    const adapter = newAdapter();
    const [one, other] = [newName(), newName()];
    await adapter.xgroupCreate(one, "g");
    const id = await adapter.xadd(one, "*", { f: "1" });
    const both = [one, other].map((key) => ({ key, id: ">" }));
    await expect(adapter.xreadgroup("g", "c", both)).rejects.toMatchObject({
      code: "GROUP_NOT_FOUND",
    });
    expect(await adapter.xreadgroup(one, "g", "c2")).toMatchObject([{ id }]);
    expect(await adapter.xack(other, "g", [id])).toBe(0);
    await expect(adapter.xreadgroup("g", "c", [{ key: one, id: "$" }])).rejects.toMatchObject({
      code: "INVALID_ENTRY_ID",
    });
  });

  it("store fields of numbers as texts, and refuse what is no field", async () => {
    const adapter = newAdapter();
    const stream = newName();
    await adapter.xadd(stream, "*", { count: 5, who: "x", yes: true } as never);
    await adapter.xadd(stream, "9999999999999", { f: "1" });
    expect((await adapter.xrange(stream)).map(({ message }) => message)).toEqual([
      { count: "5", who: "x", yes: "true" },
      { f: "1" },
    ]);
    for (const fields of [{ a: "1", b: undefined }, { a: null }, { a: {} }])
      await expect(adapter.xadd(stream, "*", fields as never)).rejects.toMatchObject({
        code: "INVALID_VALUE",
      });
    await expect(adapter.xadd(stream, "*", {}, { maxLen: 2 })).rejects.toMatchObject({
      code: "INVALID_VALUE",
    });
    await expect(adapter.xadd(stream, "x", { a: "1" }, {})).rejects.toMatchObject({
      code: "INVALID_ENTRY_ID",
    });
    expect(await adapter.xrange(stream)).toHaveLength(2);
  });

  it("read and acknowledge more than a thousand entries", async () => {
    const adapter = newAdapter();
    const stream = newName();
    await adapter.xgroupCreate(stream, "g");
    for (const count of [1000, 250])
      await s.cortex.streams.appendMany(
        stream,
        Array.from({ length: count }, (_, data) => ({ data })),
      );
    const first = await adapter.xreadgroup(stream, "g", "c");
    const rest = await adapter.xreadgroup(stream, "g", "c", { count: 5000 });
    expect([first.length, rest.length]).toEqual([1000, 250]);
    const ids = [...first, ...rest].map(({ id }) => id);
    expect(await adapter.xack(stream, "g", ids)).toBe(1250);
  });

  it("give back what a dead consumer holds, after the visibility time", async () => {
    const adapter = newAdapter({ visibilitySeconds: 5 });
    const stream = newName();
    await adapter.xgroupCreate(stream, "g");
    await adapter.xadd(stream, "work");
    const [held] = await adapter.xreadgroup(stream, "g", "dead");
    expect(await adapter.xreadgroup(stream, "g", "alive")).toEqual([]);
    const [back] = await adapter.xreadgroup(stream, "g", "alive", { blockMs: 20_000 });
    expect(back).toEqual(held);
    expect(await adapter.xack(stream, "g", [held?.id ?? ""])).toBe(1);
  });
});

it("is in the scope that it is given", async () => {
  const scope = s.cortex.scope("org", "o");
  const [inside, outside] = [cortexStoreAdapter(scope), cortexStoreAdapter(s.cortex)];
  await inside.set("k", "inside");
  expect(await outside.get("k")).toBeNull();
  expect(await scope.mutable.get("igniter", "k")).toBe("inside");
});

it("refuses options that are none", () => {
  const refused = (call: () => unknown) =>
    expect(call).toThrow(expect.objectContaining({ code: "INVALID_CONFIG" }));
  refused(() => cortexStoreAdapter({} as never));
  refused(() => cortexStoreAdapter(s.cortex, { visibilitySeconds: 4.9 }));
  for (const visibilitySeconds of [Number.NaN, "60", 1e9])
    refused(() => cortexStoreAdapter(s.cortex, { visibilitySeconds: visibilitySeconds as never }));
  refused(() => cortexStoreAdapter(s.cortex, { namespace: "" }));
  refused(() => cortexStoreAdapter(s.cortex, { namespace: 7 as never }));
  refused(() => cortexStoreAdapter(s.cortex, { prefix: "x" } as never));
  cortexStoreAdapter(s.cortex, { visibilitySeconds: 5 });
});
