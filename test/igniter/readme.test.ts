// The README of @igniter-js/store 0.1.26, walked with its own package over our adapter: every sample, by its heading.
// Where it says `IgniterStoreRedisAdapter.create({ redis })`, this says `cortexStoreAdapter(s.cortex)`: the one line that
// a program changes.
import {
  IGNITER_STORE_ERROR_CODES,
  IgniterStore,
  type IgniterStoreAdapter,
  IgniterStoreError,
  IgniterStoreEvents,
  IgniterStoreKey,
} from "@igniter-js/store";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { cortexStoreAdapter } from "../../client/igniter/index.js";
import { serve } from "../support/server.js";

const s = serve({ sweepSeconds: 0.2 });
let services = 0;
const builder = () =>
  IgniterStore.create().withAdapter(cortexStoreAdapter(s.cortex)).withService(`api-${++services}`);
const newStore = () => builder().build();

const UserEvents = IgniterStoreEvents.create("user")
  .event("created", z.object({ userId: z.string(), email: z.string().email() }))
  .event("deleted", z.object({ userId: z.string() }))
  .group("notifications", (group) =>
    group
      .event("email", z.object({ to: z.string(), subject: z.string() }))
      .event("push", z.object({ token: z.string(), title: z.string() })),
  )
  .build();
const AuditEvents = IgniterStoreEvents.create("audit")
  .event("login", z.object({ userId: z.string() }))
  .build();
const BillingEvents = IgniterStoreEvents.create("billing")
  .event("invoice_paid", z.object({ invoiceId: z.string(), total: z.number() }))
  .build();

const called = (mock: ReturnType<typeof vi.fn>, times = 1) =>
  expect.poll(() => mock.mock.calls.length, { timeout: 15_000 }).toBe(times);

describe("Quick Start", () => {
  it("Your First Store (60 seconds)", async () => {
    const store = IgniterStore.create()
      .withAdapter(cortexStoreAdapter(s.cortex))
      .withService("api")
      .build();
    await store.kv.set("user:123", { name: "Avery" }, { ttl: 3600 });
    const user = await store.kv.get<{ name: string }>("user:123");
    expect(user?.name).toBe("Avery");
  });
});

describe("Builder Setup", () => {
  it("Builder with Scopes and Events", async () => {
    const store = builder()
      .addScope("organization", { required: true })
      .addEvents(BillingEvents)
      .build();
    const handler = vi.fn();
    await store.events.billing.invoice_paid.subscribe(handler);
    await store.events.billing.invoice_paid.publish({ invoiceId: "inv_1", total: 99 });
    await called(handler);
    expect(handler.mock.calls[0]?.[0]).toMatchObject({
      type: "billing:invoice_paid",
      data: { total: 99 },
    });
  });
});

describe("Key-Value Operations", () => {
  it("Get, Set with TTL, Exists, Remove, Expire, Touch (Examples 01 to 07, 48, 55, 56, 77)", async () => {
    const store = newStore();
    expect(await store.kv.get("user:123")).toBeNull();
    await store.kv.set("user:123", { name: "Avery" }, { ttl: 3600 });
    expect(await store.kv.get<{ name: string }>("user:123")).toEqual({ name: "Avery" });
    expect(await store.kv.exists("user:123")).toBe(true);
    await store.kv.expire("user:123", 900);
    await store.kv.touch("user:123", 900);
    const record = await s.cortex.mutable.getRecord(
      "igniter",
      IgniterStoreKey.create({ service: `api-${services}`, scopeChain: [] }).build(
        "kv",
        "user:123",
      ),
    );
    const left = (record?.expiresAt?.getTime() ?? 0) - Date.now();
    expect(left).toBeGreaterThan(800_000);
    expect(left).toBeLessThan(960_000);
    await store.kv.remove("user:123");
    expect(await store.kv.exists("user:123")).toBe(false);
    await store.kv.set("feature:flags", { enabled: true });
    expect(await store.kv.get("feature:flags")).toEqual({ enabled: true });
  });
});

describe("Counter Operations", () => {
  it("Increment, Decrement, Counter TTL (Examples 08 to 10, 33, 49, 65, 70)", async () => {
    const store = newStore();
    expect(await store.counter.increment("page-views")).toBe(1);
    expect(await store.counter.increment("page-views")).toBe(2);
    expect(await store.counter.decrement("credits")).toBe(-1);
    const key = "throttle:u1:1";
    const current = await store.counter.increment(key);
    if (current === 1) await store.counter.expire(key, 0.2 as number);
    await expect.poll(() => store.counter.increment(key), { interval: 400 }).toBe(1);
    const left = await store.counter.decrement("inventory:sku");
    if (left < 0) expect(await store.counter.increment("inventory:sku")).toBe(0);
  });
});

describe("Claim Operations", () => {
  it("once (Examples 11, 34, 58)", async () => {
    const store = newStore();
    expect(await store.claim.once("jobs:cleanup", "worker-1", { ttl: 30 })).toBe(true);
    expect(await store.claim.once("jobs:cleanup", "worker-2", { ttl: 30 })).toBe(false);
    // As on Redis, this removes a value of that name: the claim lasts until its time is over.
    await store.kv.remove("jobs:cleanup");
    expect(await store.claim.once("dedupe:1", "worker")).toBe(true);
    expect(await store.claim.once("dedupe:1", "worker", { ttl: 60 })).toBe(false);
  });
});

describe("Batch Operations", () => {
  it("Batch Get and Set (Examples 12, 13, 32, 40, 50, 57, 80)", async () => {
    const store = newStore();
    await store.batch.set([
      { key: "user:1", value: { name: "A" }, ttl: 3600 },
      { key: "user:2", value: { name: "B" }, ttl: 3600 },
    ]);
    expect(await store.batch.get<{ name: string }>(["user:1", "user:2", "user:3"])).toEqual([
      { name: "A" },
      { name: "B" },
      null,
    ]);
    expect(await store.batch.get([])).toEqual([]);
    await store.batch.set([]);
    const scoped = store.scope("organization", "org_1");
    expect(await scoped.batch.get(["user:1", "b", "c"])).toEqual([null, null, null]);
  });
});

describe("Events (Pub/Sub)", () => {
  it("String-Based API (Examples 14, 15, 37, 63, 68, 69)", async () => {
    const store = newStore();
    const handler = vi.fn();
    const off = await store.events.subscribe("user:created", handler);
    await store.events.publish("user:created", { userId: "123" });
    await called(handler);
    expect(handler.mock.calls[0]?.[0]).toEqual({
      type: "user:created",
      data: { userId: "123" },
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    await off();
    await store.events.publish("user:created", { userId: "456" });
    await store.kv.get("x");
    expect(handler).toHaveBeenCalledTimes(1);
  });

  it("Proxy-Based API (Typed) (Examples 16, 17, 35, 36, 44, 45, 62)", async () => {
    const store = builder().addEvents(UserEvents).addEvents(AuditEvents).build();
    const [created, email] = [vi.fn(), vi.fn()];
    await store.events.user.created.subscribe(created);
    await store.events.user.notifications.email.subscribe(email);
    await store.events.user.created.publish({ userId: "u1", email: "a@b.com" });
    await store.events.user.notifications.email.publish({ to: "a@b.com", subject: "hi" });
    await called(created);
    await called(email);
    expect(email.mock.calls[0]?.[0].type).toBe("user:notifications:email");
    const login = vi.fn();
    await store.events.audit.login.subscribe(login);
    await store.events.audit.login.publish({ userId: "u1" });
    await called(login);
  });

  it("Wildcard Note: here, wildcards do match", async () => {
    const store = builder().addEvents(UserEvents).build();
    const [one, rest] = [vi.fn(), vi.fn()];
    await store.events.subscribe("user:*", one);
    await store.events.subscribe("**", rest);
    await store.events.user.deleted.publish({ userId: "u1" });
    await store.events.user.notifications.push.publish({ token: "t", title: "x" });
    await called(rest, 2);
    expect(one.mock.calls.map(([ctx]) => ctx.type)).toEqual(["user:deleted"]);
  });

  it("Validation Options (Example 18)", async () => {
    const store = builder()
      .addEvents(UserEvents, {
        validatePublish: true,
        validateSubscribe: false,
        throwOnValidationError: true,
      })
      .build();
    await expect(
      store.events.user.created.publish({ userId: "u1", email: "none" }),
    ).rejects.toMatchObject({ code: "STORE_SCHEMA_VALIDATION_FAILED" });
  });

  it("Events with a scope (Examples 28, 47, 64)", async () => {
    const store = newStore();
    const scoped = store.scope("organization", "org_1");
    const [inside, outside] = [vi.fn(), vi.fn()];
    await scoped.events.subscribe("audit:login", inside);
    await store.events.subscribe("audit:login", outside);
    await scoped.events.publish("audit:login", { userId: "u1" });
    await called(inside);
    expect(inside.mock.calls[0]?.[0].scope).toEqual({ key: "organization", identifier: "org_1" });
    expect(outside).not.toHaveBeenCalled();
  });
});

describe("Streams", () => {
  it("Append and Range (Examples 19, 20, 38, 51, 52, 75, 76)", async () => {
    const store = newStore();
    const id = await store.streams.append(
      "events",
      { type: "click", x: 10, y: 20 },
      { maxLen: 10000, approximate: true },
    );
    expect(await store.streams.range("events", { startId: "0", endId: "+" })).toEqual([
      { id, message: { type: "click", x: 10, y: 20 } },
    ]);
    for (let i = 0; i < 20; i++)
      await store.streams.append("metrics", { cpu: i / 10 }, { maxLen: 10 });
    expect(await store.streams.range("metrics", { startId: "0" })).toHaveLength(10);
    const last = await store.streams.range("metrics", { reverse: true, count: 5 });
    expect(last.map(({ message }) => (message as { cpu: number }).cpu)).toEqual([
      1.9, 1.8, 1.7, 1.6, 1.5,
    ]);
  });

  it("Consumer Groups (Examples 21 to 23, 53, 54)", async () => {
    const store = newStore();
    const group = store.streams.group("processors", "worker-1");
    await group.ensure("events", { startId: "0" });
    await group.ensure("events");
    await store.streams.append("events", { n: 1 });
    const batch = await group.read("events", { count: 10, blockMs: 5000 });
    expect(batch).toMatchObject([{ message: { n: 1 } }]);
    await group.ack(
      "events",
      batch.map((msg) => msg.id),
    );
    await group.ack("events", ["0-1", "0-2"]);
    expect(await group.read("events", { count: 5, blockMs: 100 })).toEqual([]);
    const latest = store.streams.group("latest", "w1");
    await latest.ensure("events", { startId: "$" });
    const reading = latest.read("events", { blockMs: 10_000 });
    await store.streams.append("events", { n: 2 });
    expect(await reading).toMatchObject([{ message: { n: 2 } }]);
  });
});

describe("Dev Tools", () => {
  it("scan, and its pages (Examples 24, 39, 46, 79)", async () => {
    const store = newStore();
    await store.batch.set(Array.from({ length: 150 }, (_, i) => ({ key: `user:${i}`, value: i })));
    const first = await store.dev.scan("user:*", { count: 100 });
    expect(first.keys).toHaveLength(100);
    expect(first.cursor).not.toBe("0");
    const second = await store.dev.scan("user:*", { cursor: first.cursor, count: 100 });
    expect(new Set([...first.keys, ...second.keys]).size).toBe(150);
    expect(second.cursor).toBe("0");
    const scoped = store.scope("organization", "org_1");
    expect(await scoped.dev.scan("*")).toEqual({ keys: [], cursor: "0" });
  });
});

describe("Scopes (Multi-Tenant Isolation)", () => {
  it("Single, chained and typed scopes (Examples 25 to 27, 41, 42, 59, 60)", async () => {
    const store = newStore();
    const org = store.scope("organization", "org_123");
    await org.kv.set("settings", { theme: "dark" });
    const scoped = org.scope("workspace", "ws_456");
    await scoped.kv.set("config", { feature: true });
    expect(await store.kv.get("settings")).toBeNull();
    expect(await org.kv.get("config")).toBeNull();
    expect(await scoped.kv.get("config")).toEqual({ feature: true });
    expect(await scoped.counter.increment("usage:api")).toBe(1);
    expect(await scoped.claim.once("jobs:daily", "worker-1", { ttl: 30 })).toBe(true);
    await scoped.streams.append("audit", { action: "login" });
    expect(await scoped.streams.range("audit")).toHaveLength(1);
    const typed = builder().addScope("organization", { required: true }).build();
    typed.scope("organization", 123);
    // @ts-expect-error: no such scope
    expect(() => typed.scope("invalid", "x")).toThrow(IgniterStoreError);
  });
});

describe("Observability (Telemetry)", () => {
  it("is told of every operation (Example 30)", async () => {
    const emitted: string[] = [];
    const telemetry = { emit: (name: string) => void emitted.push(name) };
    const store = builder()
      .withTelemetry(telemetry as never)
      .build();
    await store.kv.set("k", 1);
    await store.claim.once("k", 1);
    expect(emitted).toEqual([
      "igniter.store.kv.set.started",
      "igniter.store.kv.set.success",
      "igniter.store.claim.acquire.started",
      "igniter.store.claim.acquire.success",
    ]);
  });
});

it("Serialization Notes: JSON, and nothing else (FAQ 100 to 111)", async () => {
  const store = newStore();
  const date = new Date();
  await store.kv.set("k", { date, gone: undefined, nested: [[1], { a: null }] });
  expect(await store.kv.get("k")).toEqual({ date: date.toISOString(), nested: [[1], { a: null }] });
  await expect(store.kv.set("k", 1n)).rejects.toMatchObject({ code: "INVALID_VALUE" });
  const circle: unknown[] = [];
  circle.push(circle);
  await expect(store.kv.set("k", circle)).rejects.toMatchObject({ code: "INVALID_VALUE" });
});

it("Adapters: the object has every method of the interface", async () => {
  const adapter: IgniterStoreAdapter = cortexStoreAdapter(s.cortex);
  expect(adapter.client).toBe(s.cortex);
  await adapter.set("custom", 1);
  expect(await adapter.has("custom")).toBe(true);
  await adapter.delete("custom");
  expect(await adapter.increment("custom", 5)).toBe(5);
  await adapter.expire("custom", 0);
  expect(await adapter.setNX("custom", "x", { ttl: 5 })).toBe(true);
  expect(await adapter.mget(["custom"])).toEqual(["x"]);
});

it("Testing", async () => {
  const store = newStore();
  await store.kv.set("test:key", { ok: true });
  expect(await store.kv.get("test:key")).toEqual({ ok: true });
});

describe("Real-World Examples", () => {
  it("1: Multi-Tenant Pricing Cache; 71, 72: cache of API responses", async () => {
    const store = builder().addScope("store_id", { required: true }).build();
    const tenant = store.scope("store_id", "s1");
    const key = "product:p1:pricing";
    let pricing = await tenant.kv.get(key);
    if (!pricing) {
      pricing = { price: 5 };
      await tenant.kv.set(key, pricing, { ttl: 3600 });
    }
    expect(await tenant.kv.get(key)).toEqual({ price: 5 });
    expect(await store.scope("store_id", "s2").kv.get(key)).toBeNull();
  });

  it("2: Sliding Window Rate Limiting", async () => {
    const store = newStore();
    const limitKey = `ratelimit:127.0.0.1:${Math.floor(Date.now() / 60000)}`;
    const counts = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const count = await store.counter.increment(limitKey);
        if (count === 1) await store.counter.expire(limitKey, 60);
        return count;
      }),
    );
    expect(counts.filter((count) => count > 15)).toHaveLength(5);
  });

  it("3, 10: Distributed Cron Leadership", async () => {
    const store = newStore();
    const leaders = await Promise.all(
      ["a", "b", "c"].map((host) => store.claim.once("cron:cleanup", host, { ttl: 55 })),
    );
    expect(leaders.filter(Boolean)).toHaveLength(1);
  });

  it("4: Typed Order Events", async () => {
    const OrderEvents = IgniterStoreEvents.create("order")
      .event("placed", z.object({ orderId: z.string(), total: z.number() }))
      .build();
    const store = builder().addEvents(OrderEvents).build();
    const handler = vi.fn();
    await store.events.order.placed.subscribe(handler);
    await store.events.order.placed.publish({ orderId: "o_123", total: 42 });
    await called(handler);
  });

  it("5: Streams for Chat Processing", async () => {
    const store = newStore();
    await store.streams.append("chat:room:1", { from: "alice", text: "hi" });
    const consumer = store.streams.group("chat-workers", "worker-1");
    await consumer.ensure("chat:room:1");
    const messages = await consumer.read("chat:room:1", { count: 20, blockMs: 5000 });
    const processed = [];
    for (const msg of messages) {
      processed.push(msg.message);
      await consumer.ack("chat:room:1", [msg.id]);
    }
    expect(processed).toEqual([{ from: "alice", text: "hi" }]);
  });

  it("6: Presence Tracking; 7: A/B Testing; 8, 13: Cache Invalidation; 9, 11 to 16", async () => {
    const store = newStore();
    await store.kv.set("online:u1", true, { ttl: 300 });
    expect(await store.kv.exists("online:u1")).toBe(true);
    const key = "exp:e1:user:u1";
    let variant = await store.kv.get(key);
    if (!variant) {
      variant = "A";
      await store.kv.set(key, variant, { ttl: 604800 });
    }
    expect(await store.kv.get(key)).toBe("A");
    const localCache = new Set(["u1"]);
    await store.events.subscribe("db:update:user", (ctx) => {
      localCache.delete((ctx.data as { userId: string }).userId);
    });
    await store.events.publish("db:update:user", { userId: "u1" });
    await expect.poll(() => localCache.size).toBe(0);
    const scoped = store.scope("tenant", "t1");
    expect(await scoped.claim.once("webhook:e1", "handler", { ttl: 300 })).toBe(true);
    expect(await scoped.kv.get("config")).toBeNull();
    expect(await store.counter.increment("usage:c1:2026-11")).toBe(1);
  });

  it("66, 67, 73, 74, 78: sessions, markers, progress, health", async () => {
    const store = newStore();
    await store.kv.touch("session:none", 1800);
    await store.kv.set("cleanup:last_run", Date.now(), { ttl: 86400 });
    await store.kv.set("job:1:progress", { step: 1, percent: 10 }, { ttl: 3600 });
    expect(await store.kv.get("job:1:progress")).toEqual({ step: 1, percent: 10 });
    await store.kv.set("health:s1", { ok: true }, { ttl: 15 });
    expect((await store.dev.scan("health:*")).keys).toHaveLength(1);
  });
});

it("Error Handling (Example 31)", async () => {
  const store = newStore();
  expect(await store.kv.get("missing")).toBeNull();
  expect(() => IgniterStore.create().withService("x").build()).toThrow(
    expect.objectContaining({ code: IGNITER_STORE_ERROR_CODES.STORE_ADAPTER_REQUIRED }),
  );
  expect(() => store.scope("", "x")).toThrow(
    expect.objectContaining({ code: "STORE_SCOPE_KEY_REQUIRED" }),
  );
  // What the adapter throws is a CortexError, whose code is the reason.
  await expect(store.kv.set("k", 1, { ttl: -1 })).rejects.toMatchObject({ code: "INVALID_TTL" });
});
