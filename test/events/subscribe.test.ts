import { setTimeout as pause } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { CortexError } from "../../client/index.js";
import {
  Events,
  SubscribeRequestSchema,
  SubscribeResponseSchema,
} from "../../gen/cortex/events/v1/events_pb.js";
import { defaults } from "../../server/config/config.js";
import { UnsentBytes } from "../../server/grpc/unsent-bytes.js";
import { start } from "../../server/start.js";
import { subscribed } from "../support/events.js";
import { proxyToPostgres } from "../support/proxy.js";
import { type Failure, Raw } from "../support/raw.js";
import { serve, testLog } from "../support/server.js";
import { Stalled } from "../support/stalled.js";
import { opened } from "../support/watch.js";

const s = serve();

const requestOf = (pattern: string) =>
  Buffer.from(toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { pattern })));

/** A subscription that takes its first, empty message, and then nothing. */
const stalledSubscription = (address: string, pattern: string) =>
  new Stalled(
    address,
    "Subscribe",
    pattern,
    undefined,
    {},
    {
      service: Events.typeName,
      windowBytes: 64,
    },
  );

describe("a pattern", () => {
  it("matches a channel, a segment by *, and the rest by **", async () => {
    const { events } = s.cortex;
    const channels = ["a", "a:b", "a:b:c", "a:x:c", "b", "a:", ":", "a::c", "A:b"];
    const expected: Record<string, string[]> = {
      "a:b": ["a:b"],
      "*": ["a", "b"],
      "a:*": ["a:b", "a:"],
      "*:b": ["a:b", "A:b"],
      "a:*:c": ["a:b:c", "a:x:c", "a::c"],
      "a:**": ["a:b", "a:b:c", "a:x:c", "a:", "a::c"],
      "*:**": ["a:b", "a:b:c", "a:x:c", "a:", ":", "a::c", "A:b"],
      "**": channels,
      "*:*": ["a:b", "a:", ":", "A:b"],
      ":*": [":"],
    };
    const all = await Promise.all(
      Object.keys(expected).map((pattern) => subscribed(s.cortex, pattern)),
    );
    for (const channel of channels) await events.publish(channel, 1);
    for (const [i, types] of Object.values(expected).entries()) {
      await all[i]?.count(types.length);
      expect(all[i]?.types).toEqual(types);
    }
    for (const one of all) one.end();
  });

  it("that cannot be is refused", async () => {
    const refused = (pattern: unknown, problem: RegExp) =>
      expect(s.cortex.events.subscribe(pattern as string, () => {})).rejects.toMatchObject({
        code: "INVALID_CHANNEL",
        details: { field: "pattern" },
        message: expect.stringMatching(problem),
      });
    await refused("", /empty/);
    await refused("x".repeat(513), /too long.*512.*513/);
    await refused("a\n", /control/);
    await refused("a*", /part of a segment/);
    await refused("a:***", /part of a segment/);
    await refused("**:a", /elsewhere than at its end/);
    await refused(7, /string/);
    await expect(s.cortex.events.stream("a*").next()).rejects.toMatchObject({
      code: "INVALID_CHANNEL",
    });
  });
});

describe("a subscription", () => {
  it("gets what is published on any server from when it has begun, in order, of its tenant only", async () => {
    const other = s.client({ address: (await s.another()).address });
    await other.events.publish("t:before", 0);
    const [here, there] = await Promise.all([
      subscribed(s.cortex, "t:*"),
      subscribed(other, "t:*"),
    ]);
    const foreign = await subscribed(s.client({ tenantId: "foreign" }), "**");
    for (let i = 0; i < 20; i++) await (i % 2 ? s.cortex : other).events.publish("t:in turn", i);
    await here.count(20);
    await there.count(20);
    for (const { events } of [here, there])
      expect(events.map(({ data }) => data)).toEqual([...Array(20).keys()]);
    expect(foreign.events).toEqual([]);
    here.end();
    await s.cortex.events.publish("t:after", 20);
    await there.count(21);
    expect(here.events).toHaveLength(20);
  });

  it("comes within a second or two without LISTEN", async () => {
    const { address } = await s.another({ watchListen: false });
    const got = await subscribed(s.client({ address }), "polled");
    await s.cortex.events.publish("polled", 1);
    await got.count(1);
  });

  it("awaits what its handler returns, and tells what it throws", async () => {
    const seen: unknown[] = [];
    const errors: unknown[] = [];
    let running = 0;
    const end = await s.cortex.events.subscribe(
      "work",
      async ({ data }) => {
        expect(++running).toBe(1);
        await pause(5);
        running--;
        seen.push(data);
        if (data === 1) throw new Error("mine");
      },
      { onError: (error) => errors.push(error) },
    );
    for (let i = 0; i < 4; i++) await s.cortex.events.publish("work", i);
    await expect.poll(() => seen).toEqual([0, 1, 2, 3]);
    expect(errors).toEqual([new Error("mine")]);
    end();
    end();
  });

  it("warns of what its handler throws if there is no onError", async () => {
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    const end = await s.cortex.events.subscribe("warns", () => {
      throw new Error("nobody listens");
    });
    await s.cortex.events.publish("warns", 1);
    expect((await warned).message).toBe("nobody listens");
    end();
  });

  it("goes on if a function of its caller throws, and warns of what onError throws", async () => {
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    const seen: unknown[] = [];
    const end = await s.cortex.events.subscribe(
      "throws",
      ({ data }) => {
        seen.push(data);
        throw new Error("handler");
      },
      {
        onError: () => {
          throw new Error("onError");
        },
      },
    );
    await s.cortex.events.publish("throws", 1);
    await s.cortex.events.publish("throws", 2);
    await expect.poll(() => seen).toEqual([1, 2]);
    expect((await warned).message).toBe("onError");
    end();
  });

  it("leaves the server at once, also while its handler is busy", async () => {
    const { address } = await s.another({ watchesMax: 1 });
    const client = s.client({ address });
    let called = () => {};
    const isCalled = new Promise<void>((resolve) => {
      called = resolve;
    });
    const end = await client.events.subscribe("busy", () => {
      called();
      return new Promise(() => {}); // for ever
    });
    await s.cortex.events.publish("busy", 1);
    await isCalled;
    end();
    const next = await subscribed(client, "busy");
    await s.cortex.events.publish("busy", 2);
    await next.count(1);
  });

  it("ends by its signal, and when its client is closed", async () => {
    const controller = new AbortController();
    const client = s.client();
    const errors: unknown[] = [];
    const onError = (error: unknown) => errors.push(error);
    const one = await subscribed(s.cortex, "e", { signal: controller.signal, onError });
    const two = await subscribed(client, "e", { onError });
    const stream = client.events.stream("e");
    const next = stream.next();
    await pause(200);
    await s.cortex.events.publish("e", 1);
    await Promise.all([one.count(1), two.count(1)]);
    expect((await next).value).toMatchObject({ data: 1 });
    const waiting = stream.next();
    controller.abort();
    await client.close();
    await expect(waiting).rejects.toMatchObject({ code: "CANCELLED" });
    await s.cortex.events.publish("e", 2);
    await pause(100);
    expect([one.events.length, two.events.length]).toEqual([1, 1]);
    expect(errors).toEqual([]);
    await expect(client.events.subscribe("e", () => {})).rejects.toMatchObject({
      code: "CANCELLED",
    });
  });

  it("fails in time if there is no server", async () => {
    const nobody = s.client({ address: "127.0.0.1:9", timeoutMs: 300 });
    await expect(nobody.events.subscribe("a", () => {})).rejects.toMatchObject({
      code: "UNAVAILABLE",
      details: { address: "127.0.0.1:9" },
    });
    await expect(s.cortex.events.subscribe("a", 7 as never)).rejects.toMatchObject({
      code: "INVALID_OPTIONS",
      details: { field: "handler" },
    });
    const unknown = s.cortex.events.subscribe("a", () => {}, { cursor: "x" } as never);
    await expect(unknown).rejects.toMatchObject({ code: "INVALID_OPTIONS" });
  });

  it("begins again after its server has stopped, and says so", async () => {
    const running = await s.another();
    let again = 0;
    const got = await subscribed(s.client({ address: running.address }), "again", {
      onResubscribe: () => again++,
    });
    await s.cortex.events.publish("again", 1);
    await got.count(1);
    await running.stop();
    await s.another({ listen: running.address });
    await expect.poll(() => again, { timeout: 10_000 }).toBe(1);
    await s.cortex.events.publish("again", 2);
    await got.count(2);
  });

  it("ends at once when the server stops", async () => {
    const running = await s.another({ drainSeconds: 10 });
    const raw = new Raw(running.address);
    const failure = raw.collect(Events.method.subscribe, requestOf("a"), {}, 5000);
    await pause(200);
    const startedAt = performance.now();
    await running.stop();
    expect(performance.now() - startedAt).toBeLessThan(2000);
    raw.close();
    expect(((await failure) as Failure).reason).toBe("SHUTTING_DOWN");
  });

  it("sends its first message once it has begun, without events", async () => {
    const raw = new Raw(s.address);
    const messages = await raw.collect(Events.method.subscribe, requestOf("q"), {}, 500);
    raw.close();
    expect((messages as Buffer[]).map((one) => fromBinary(SubscribeResponseSchema, one))).toEqual([
      expect.objectContaining({ events: [] }),
    ]);
  });
});

describe("a subscriber that is slow", () => {
  it("is cut with the number of events that it missed, and holds up nobody", async () => {
    const got = await subscribed(s.cortex, "flood");
    const stream = s.cortex.events.stream("flood");
    const first = stream.next();
    await pause(200);
    const data = "x".repeat(5000);
    const total = 8000; // 40 MB: more than its queue and its connection hold
    for (let i = 0; i < total; i += 500)
      await s.cortex.events.publishMany(
        Array.from({ length: 500 }, (_, j) => ({ channel: "flood", data: [i + j, data] })),
      );
    await got.count(total);
    expect(got.events.map(({ data: [i] }) => i)).toEqual([...Array(total).keys()]);
    const taken = [(await first).value?.data[0]];
    const error = await (async () => {
      for await (const { data } of stream) taken.push(data[0]);
    })().catch((error: CortexError) => error);
    expect(error).toMatchObject({ code: "EVENTS_MISSED", details: {} });
    expect(taken).toEqual([...Array(taken.length).keys()]);
    // What it got, and what it missed by then, are the first events.
    const missed = Number((error as CortexError).details.missed);
    expect(missed).toBeGreaterThan(0);
    expect(taken.length + missed).toBeLessThanOrEqual(total);
    got.end();
  });

  it("does not keep others of its connection and its tenant from their events", async () => {
    const { address } = await s.another({ unsentBytesMax: 8 * 1024 * 1024 });
    const client = s.client({ address });
    const ends = await Promise.all(
      [1, 2, 3].map(() => client.events.subscribe("jam", () => new Promise(() => {}))),
    );
    const healthy = await subscribed(client, "flow");
    const data = "x".repeat(10_000);
    for (
      let i = 0;
      i < 600;
      i += 100 // 6 MB for each of the three
    )
      await s.cortex.events.publishMany(
        Array.from({ length: 100 }, () => ({ channel: "jam", data })),
      );
    for (let i = 0; i < 20; i++) {
      await s.cortex.events.publish("flow", i);
      await pause(20);
    }
    await healthy.count(20);
    for (const end of ends) end();
  });

  it("has one message on its way: all together hold no more than may be unsent", async () => {
    // Counts what the server holds, beside its own count.
    const { count } = UnsentBytes.prototype;
    let held = 0;
    let most = 0;
    UnsentBytes.prototype.count = function (reader, bytes) {
      held += bytes;
      most = Math.max(most, held);
      const release = count.call(this, reader, bytes);
      let isReleased = false;
      return () => {
        if (!isReleased) held -= bytes;
        isReleased = true;
        release();
      };
    };
    const limit = 8 * 1024 * 1024; // a tenant may have half of it
    const { address } = await s.another({ unsentBytesMax: limit });
    const stalled = Array.from({ length: 60 }, () => stalledSubscription(address, "burst"));
    await Promise.all(stalled.map(({ begun }) => begun));
    await pause(300);
    await s.cortex.events.publishMany(
      Array.from({ length: 4 }, () => ({ channel: "burst", data: "x".repeat(60_000) })),
    );
    await pause(500);
    UnsentBytes.prototype.count = count;
    for (const one of stalled) one.close();
    expect(most).toBeGreaterThan(1024 * 1024);
    expect(most).toBeLessThanOrEqual(limit / 2);
  });

  it("is cut for it before its stream would end without a count", async () => {
    const { address } = await s.another({ stallSeconds: 2 });
    const one = stalledSubscription(address, "stall");
    await one.begun;
    await pause(300);
    for (let i = 0; i < 5; i++) await s.cortex.events.publish("stall", "x".repeat(60_000));
    await pause(2500); // the timer is at 1.8 s, the connection would be closed after 4 s
    one.read();
    const trailers = await one.trailers;
    expect(decodeURIComponent(`${trailers["grpc-message"]}`)).toMatch(/has missed \d events/);
    one.close();
  });

  it("with a handler is told, and goes on with what comes", async () => {
    const errors: CortexError[] = [];
    const seen: number[] = [];
    let release = () => {};
    const blocked = new Promise<void>((resolve) => {
      release = resolve;
    });
    const end = await s.cortex.events.subscribe<[number]>(
      "slow",
      async ({ data: [i] }) => {
        seen.push(i);
        await blocked;
      },
      { onError: (error) => errors.push(error as CortexError) },
    );
    const data = "x".repeat(5000);
    for (let i = 0; i < 8000; i += 500)
      await s.cortex.events.publishMany(
        Array.from({ length: 500 }, (_, j) => ({ channel: "slow", data: [i + j, data] })),
      );
    release();
    await expect.poll(() => errors.length, { timeout: 15_000 }).toBe(1);
    expect(errors[0]).toMatchObject({ code: "EVENTS_MISSED" });
    const before = seen.length;
    await expect
      .poll(
        async () => {
          await s.cortex.events.publish("slow", [-1]);
          return seen.length > before;
        },
        { timeout: 15_000 },
      )
      .toBe(true);
    expect(seen.at(-1)).toBe(-1);
    end();
  });
});

describe("a crash of Postgres", () => {
  it("ends the subscriptions: events may be lost", async () => {
    const errors: CortexError[] = [];
    const got = await subscribed(s.cortex, "crash", {
      onError: (error) => errors.push(error as CortexError),
    });
    await s.sql`truncate event_life`; // as a crash does with all unlogged tables
    await expect.poll(() => errors.length, { timeout: 5000 }).toBe(1);
    expect(errors[0]).toMatchObject({ code: "EVENTS_MISSED" });
    await expect
      .poll(
        async () => {
          await s.cortex.events.publish("crash", 1);
          return got.events.length;
        },
        { timeout: 10_000 },
      )
      .toBeGreaterThan(0);
    got.end();
    expect(errors).toHaveLength(1);
  });
});

describe("a server that could not read the log for long", () => {
  it("ends its subscriptions, and gives what comes after", async () => {
    const { proxy, url } = await proxyToPostgres(s.databaseUrl);
    const running = await start(
      { ...defaults, listen: "127.0.0.1:0", drainSeconds: 1 },
      url,
      testLog,
    );
    const errors: CortexError[] = [];
    const got = await subscribed(s.client({ address: running.address }), "far:*", {
      onError: (error) => errors.push(error as CortexError),
    });
    await s.cortex.events.publish("far:1", 1);
    await got.count(1);
    proxy.freeze(true);
    await s.cortex.events.publish("far:lost", 1);
    await pause(10_000);
    proxy.thaw();
    await expect.poll(() => errors.length, { timeout: 20_000 }).toBe(1);
    expect(errors[0]).toMatchObject({ code: "EVENTS_MISSED" });
    expect(errors[0]?.details.missed).toBeUndefined();
    await expect
      .poll(
        async () => {
          await s.cortex.events.publish("far:2", 2);
          return got.types.includes("far:2");
        },
        { timeout: 10_000 },
      )
      .toBe(true);
    await running.stop();
    proxy.close();
  }, 60_000);
});

describe("the events of a user who is erased", () => {
  it("are sent no more, also if they wait for a slow subscriber", async () => {
    const { address } = await s.another(); // without a watch
    const { events, users } = s.cortex;
    await users.upsert("slow", {});
    const stream = s.client({ address }).events.stream<string>("e:**");
    const first = stream.next();
    await pause(300);
    const filler = "x".repeat(10_000);
    const fillers = 1200; // 12 MB: more than its connection holds
    for (let i = 0; i < fillers; i += 100)
      await events.publishMany(
        Array.from({ length: 100 }, () => ({ channel: "e:filler", data: filler })),
      );
    await events.publish("e:theirs", "secret", { userId: "slow" });
    await events.publish("e:others", "public");
    await pause(200);
    await users.delete("slow", { cascade: true });
    await pause(1200);
    const types = [(await first).value?.type];
    for await (const { type } of stream) {
      types.push(type);
      if (type === "e:others") break;
    }
    expect(types).toEqual([...Array(fillers).fill("e:filler"), "e:others"]);
  });

  it("leave the log, and are exported before", async () => {
    const { events, users } = s.cortex;
    await users.upsert("u", {});
    await events.publish("theirs", { secret: "of u" }, { userId: "u" });
    await events.publish("others", { n: 1 });
    const lines: unknown[] = [];
    for await (const line of users.export("u")) lines.push(JSON.parse(line));
    expect(lines).toContainEqual(
      expect.objectContaining({
        ...{ kind: "change", store: "events", name: "theirs", change: "publish" },
        value: { secret: "of u" },
      }),
    );
    const { counts } = await users.delete("u", { cascade: true, verify: true });
    expect(counts.change).toBe(1);
    const rows = await s.sql`select name, value::text from change where store = 'event'`;
    expect(JSON.stringify(rows)).not.toMatch(/of u|theirs/);
    expect(JSON.stringify(rows)).toContain("others");
  });
});

describe("a tenant", () => {
  const few = serve({ watchesMax: 3 });

  it("may have only so many watches and subscriptions together", async () => {
    const watch = await opened((more) => few.cortex.mutable.watch("ns", more));
    const some = await Promise.all([1, 2].map(() => subscribed(few.cortex, "a")));
    const raw = new Raw(few.address);
    expect(await raw.collect(Events.method.subscribe, requestOf("a"), {}, 500)).toMatchObject({
      reason: "OVERLOADED",
      details: { limit: "3" },
    });
    raw.close();
    const end = await few.client({ tenantId: "other" }).events.subscribe("a", () => {});
    end();
    some[0]?.end();
    const next = await few.cortex.events.subscribe("a", () => {}, { timeoutMs: 10_000 });
    next();
    await watch.return(undefined);
  });
});
