// Building a typed store: immutable, with refusals; required and unknown scopes; names; telemetry; and its types.
import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import {
  CortexStore,
  CortexStoreEvents,
  type Store,
  type StoreAdapter,
} from "../../client/index.js";
import { serve } from "../support/server.js";

const s = serve();
const builder = () => CortexStore.create().withClient(s.cortex).withService("api");
const refusal = (code: string, details = {}) =>
  expect.objectContaining({ name: "CortexError", code, details: expect.objectContaining(details) });
const UserEvents = CortexStoreEvents.create("user")
  .event("created", z.object({ id: z.string(), at: z.string().transform(Number) }))
  .group("mail", (group) => group.event("sent", z.object({ to: z.string() })))
  .build();

describe("a builder", () => {
  it("gives a new builder with every call", () => {
    const base = builder();
    const scoped = base.addScope("organization", { required: true });
    expect(base.build().kv).toBeDefined();
    expect(() => (scoped.build() as Store).kv).toThrow(refusal("INVALID_SCOPE"));
    expect(scoped.addScope("workspace")).not.toBe(scoped);
    expect(() => scoped.build().scope("workspace" as never, "w")).toThrow(refusal("INVALID_SCOPE"));
  });

  it("needs a service, and a client or an adapter", () => {
    const refused = (call: () => unknown, field: string) =>
      expect(call).toThrow(refusal("INVALID_CONFIG", { field }));
    refused(() => CortexStore.create().build(), "store");
    refused(() => CortexStore.create().withClient(s.cortex).build(), "store");
    refused(() => CortexStore.create().withService("api").build(), "store");
    for (const service of ["", " ", 7, undefined, "a\0", "x".repeat(240)])
      refused(() => CortexStore.create().withService(service as string), "service");
    refused(() => CortexStore.create().withClient({} as never), "client");
    refused(
      () => CortexStore.create().withAdapter({ get() {} } as never as StoreAdapter),
      "adapter",
    );
    refused(() => builder().withLogger({} as never), "logger");
    refused(() => builder().withTelemetry({} as never), "telemetry");
  });

  it("refuses keys of scopes and actors that are none, reserved, or added before", () => {
    for (const key of ["", " ", "kv", "counter", "claim", "events", "streams", 7]) {
      expect(() => builder().addScope(key as string)).toThrow(refusal("INVALID_SCOPE"));
      expect(() => builder().addActor(key as string)).toThrow(refusal("INVALID_SCOPE"));
    }
    const both = builder().addScope("org").addActor("agent");
    for (const key of ["org", "agent"]) {
      expect(() => both.addScope(key)).toThrow(refusal("INVALID_CONFIG"));
      expect(() => both.addActor(key)).toThrow(refusal("INVALID_CONFIG"));
    }
    expect(() => builder().addScope("org", { needed: true } as never)).toThrow(
      refusal("INVALID_CONFIG"),
    );
    expect(() => builder().addScope("org", { required: 1 } as never)).toThrow(
      refusal("INVALID_CONFIG"),
    );
  });

  it("refuses events that are none, or whose namespace was added before", () => {
    const once = builder().addEvents(UserEvents);
    expect(() => once.addEvents(UserEvents)).toThrow(refusal("INVALID_CONFIG"));
    expect(() => builder().addEvents(undefined as never)).toThrow(refusal("INVALID_NAMESPACE"));
    expect(() => builder().addEvents({ namespace: "x" } as never)).toThrow(
      refusal("INVALID_CONFIG"),
    );
    for (const options of [{ validate: true }, { validatePublish: "no" }])
      expect(() => builder().addEvents(UserEvents, options as never)).toThrow(
        refusal("INVALID_CONFIG"),
      );
    for (const events of [{ a: 5 }, { a: { b: null } }, null])
      expect(() => builder().addEvents({ namespace: "x", events } as never)).toThrow(
        refusal("INVALID_CONFIG"),
      );
    expect(() => CortexStoreEvents.create("x").group("a", () => undefined as never)).toThrow(
      refusal("INVALID_CONFIG"),
    );
  });
});

describe("scopes and actors", () => {
  it("are refused if they are unknown or empty; without addScope any key is taken", () => {
    const store = builder().addScope("org").addActor("agent").build() as Store;
    for (const [key, identifier] of [
      ["workspace", "w"],
      ["agent", "a"],
      ["", "a"],
      ["org", ""],
      ["org", undefined],
      ["org", " "],
      ["org", Number.NaN],
      [7, "a"],
    ])
      expect(() => store.scope(key as string, identifier as string)).toThrow(
        refusal("INVALID_SCOPE"),
      );
    for (const [key, identifier] of [
      ["org", "o"],
      ["robot", "r"],
      ["", "a"],
      ["agent", ""],
      ["agent", null],
    ])
      expect(() => store.actor(key as string, identifier as string)).toThrow(
        refusal("INVALID_SCOPE"),
      );
    expect(store.scope("org", 7).path).toEqual([{ key: "org", identifier: "7" }]);
    const open = builder().build();
    expect(open.scope("anything", "x").path).toEqual([{ key: "anything", identifier: "x" }]);
    expect(() => open.scope("kv", "x")).toThrow(refusal("INVALID_SCOPE"));
    expect(() => open.actor("agent" as never, "x")).toThrow(refusal("INVALID_SCOPE"));
  });

  it("that are required are needed for every part", async () => {
    const root = builder()
      .addScope("org", { required: true })
      .addScope("team")
      .addActor("agent")
      .build();
    const parts = ["kv", "counter", "claim", "batch", "events", "streams", "dev"] as const;
    for (const store of [root, root.scope("team", "t"), root.actor("agent", "a")])
      for (const part of parts)
        expect(() => (store as unknown as Store)[part]).toThrow(
          refusal("INVALID_SCOPE", { field: "scope", problem: "is required: org" }),
        );
    for (const store of [root.scope("org", "o"), root.scope("team", "t").scope("org", "o")])
      for (const part of parts) expect(store[part]).toBeDefined();
    await root.scope("org", "o").kv.set("k", 1);
  });

  it("are refused by the server if a path is too long", async () => {
    const store = builder().build().scope("org", "x".repeat(600));
    await expect(store.kv.get("k")).rejects.toMatchObject({ code: "INVALID_SCOPE" });
  });
});

it("key says the full name", () => {
  const store = builder().build();
  expect(store.key("kv", "user:123")).toBe("igniter:store:api:kv:user:123");
  expect(store.scope("org", "a:b%").key("streams", "s")).toBe(
    "igniter:store:api:org:a%3Ab%25:streams:s",
  );
  expect(() => store.key("other" as never, "k")).toThrow(refusal("INVALID_OPTIONS"));
  expect(() => store.key("kv", 7 as never)).toThrow(refusal("INVALID_KEY"));
});

it("telemetry is told of every operation, and of no key, value or user", async () => {
  const told: [string, { level: string; attributes: Record<string, unknown> }][] = [];
  const store = builder()
    .withService("told")
    .addEvents(UserEvents)
    .withTelemetry({ emit: (name, event) => void told.push([name, event]) })
    .build()
    .scope("org", "secret-org");
  const secret = "secret-key";
  await s.cortex.users.create("secret-user", {});
  await store.kv.set(secret, "secret-value", { ttl: 60, userId: "secret-user" });
  await store.kv.get(secret);
  await store.kv.exists(secret);
  await store.kv.expire(secret, 60);
  await store.kv.touch(secret, 60);
  await store.kv.remove(secret);
  await store.counter.increment(secret, 41);
  await store.counter.decrement(secret);
  await store.counter.expire(secret, 60);
  await store.claim.once(secret, "secret-value");
  await store.claim.release(secret, "secret-value");
  await store.batch.set([{ key: secret, value: "secret-value" }]);
  await store.batch.get([secret, "secret-none"]);
  await store.dev.scan("secret*");
  const off = await store.events.subscribe("user:created", () => {});
  await store.events.publish("user:created", { id: "secret", at: "5" });
  await store.events.publish("secret:channel", "secret");
  await off();
  await store.streams.append("secret-stream", "secret-value");
  await store.streams.range("secret-stream");
  const group = store.streams.group("secret-group", "secret-consumer");
  await group.ensure("secret-stream");
  const read = await group.read("secret-stream");
  await group.ack("secret-stream", read);
  await expect(store.kv.get("secret\0")).rejects.toThrow();
  const operations = [
    ...["kv.set", "kv.get", "kv.exists", "kv.expire", "kv.touch", "kv.remove"],
    ...["counter.increment", "counter.decrement", "counter.expire"],
    ...["claim.acquire", "claim.release", "batch.set", "batch.get", "dev.scan"],
    ...["events.subscribe", "events.publish", "events.publish", "events.unsubscribe"],
    ...["stream.append", "stream.range", "stream.group", "stream.read", "stream.ack"],
  ];
  expect(told.map(([name]) => name)).toEqual([
    ...operations.flatMap((one) => [
      `igniter.store.${one}.started`,
      `igniter.store.${one}.success`,
    ]),
    "igniter.store.kv.get.started",
    "igniter.store.kv.get.error",
  ]);
  expect(JSON.stringify(told)).not.toContain("secret");
  const attributesOf = (name: string) =>
    told.find(([one]) => one === `igniter.store.${name}`)?.[1].attributes;
  expect(attributesOf("kv.get.success")).toEqual({
    "ctx.store.service": "told",
    "ctx.store.namespace": "kv",
    "ctx.store.scope_key": "org",
    "ctx.store.scope_depth": 1,
    "ctx.kv.found": true,
  });
  expect(attributesOf("batch.get.success")).toMatchObject({
    "ctx.batch.count": 2,
    "ctx.batch.found": 1,
  });
  expect(attributesOf("events.publish.started")).toMatchObject({
    "ctx.events.channel": "user:created",
  });
  expect(attributesOf("kv.get.error")).toMatchObject({ "ctx.error.code": "INVALID_KEY" });
  expect(told.at(-1)?.[1].level).toBe("error");
});

it("telemetry that fails later, and a logger that throws, fail no operation", async () => {
  const warnings: string[] = [];
  const warned = (warning: Error) => void warnings.push(warning.message);
  process.on("warning", warned);
  const telemetry = { emit: () => Promise.reject(new Error("late")) };
  const logger = {
    warn() {
      throw new Error("logger down");
    },
  };
  const { kv } = builder().withTelemetry(telemetry).withLogger(logger).build();
  await kv.set("k", 1);
  await expect.poll(() => warnings).toContain("the telemetry of a store threw: late");
  process.off("warning", warned);
});

it("telemetry is told of operations that are refused before they are sent", async () => {
  const told: string[] = [];
  const store = builder()
    .withTelemetry({ emit: (name) => void told.push(name) })
    .build();
  const calls = [
    store.kv.set("k", 1, { ttl: -1 }),
    store.kv.expire("k", Number.NaN),
    store.counter.increment("k", "x" as never),
    store.claim.once("k", 1, { ttl: 0 }),
    store.batch.get("k" as never),
    store.batch.set([{} as never]),
    store.dev.scan(""),
    store.events.publish("", 1),
    store.events.subscribe("", () => {}),
    store.streams.append("", 1),
    store.streams.range("s", { startID: "0" } as never),
  ];
  for (const call of calls) await expect(call).rejects.toMatchObject({ name: "CortexError" });
  expect(told.filter((name) => name.endsWith(".error"))).toHaveLength(calls.length);
});

it("telemetry that throws fails no operation, and the logger is told", async () => {
  const warned: unknown[][] = [];
  const { kv } = builder()
    .withTelemetry({
      emit() {
        throw new Error("no telemetry");
      },
    })
    .withLogger({ warn: (...args: unknown[]) => warned.push(args) })
    .build();
  await kv.set("k", 1);
  expect(warned).toHaveLength(2);
});

// What must not compile: `npm run types` fails if one of these does.
it("types know scopes, actors and events", async () => {
  const root = builder()
    .addScope("organization", { required: true })
    .addScope("workspace")
    .addActor("agent")
    .addEvents(UserEvents)
    .build();
  const never = () => {
    // @ts-expect-error: a required scope is missing
    root.kv.get("k");
    // @ts-expect-error: a required scope is missing
    root.scope("workspace", "w").events;
    // @ts-expect-error: a required scope is missing, also for an actor
    root.actor("agent", "a").kv;
    // @ts-expect-error: no such scope
    root.scope("invalid", "x");
    // @ts-expect-error: no such actor
    root.actor("robot", "x");
    // @ts-expect-error: an actor is no scope
    root.scope("agent", "x");
    const { events, kv } = root.scope("organization", "o");
    // @ts-expect-error: data of the wrong type
    events.publish("user:created", { id: 7, at: "5" });
    // @ts-expect-error: data is missing
    events.user.created.publish({ id: "u" });
    // @ts-expect-error: what the schema gives is not what it takes
    events.user.created.publish({ id: "u", at: 5 });
    // @ts-expect-error: no such event
    events.user.craeted;
    // @ts-expect-error: no event of a namespace with schemas
    events.publish("user:craeted", { id: "u" });
    // @ts-expect-error: a ttl is a number
    kv.set("k", 1, { ttl: "60" });
    // @ts-expect-error: data of one of the channels only
    events.publish("user:created" as "user:created" | "user:mail:sent", { to: "x" });
    // @ts-expect-error: no event of a namespace with schemas
    events.subscribe("user:nope", () => {});
    // @ts-expect-error: a namespace with schemas is no channel
    events.publish("user", 5);
    // @ts-expect-error: the required scope may be missing
    root.scope("organization" as "organization" | "workspace", "x").kv;
    events.publish("other:channel", { any: "thing" });
    events.publish("computed" as string, { any: "thing" });
    events.subscribe("other:channel", () => {});
    events.subscribe("computed" as string, () => {});
    events.subscribe("**", (event) => {
      expectTypeOf(event.type).toEqualTypeOf<string>();
      if (event.type === "other") expectTypeOf(event.data).toEqualTypeOf<unknown>();
    });
    events.subscribe("user:created", ({ type, data, scope }) => {
      expectTypeOf(type).toEqualTypeOf<"user:created">();
      expectTypeOf(data).toEqualTypeOf<{ id: string; at: number }>();
      expectTypeOf(scope?.key).toEqualTypeOf<string | undefined>();
    });
    events.subscribe("user:**", (event) => {
      expectTypeOf(event.type).toEqualTypeOf<"user:created" | "user:mail:sent">();
      if (event.type === "user:mail:sent") expectTypeOf(event.data.to).toEqualTypeOf<string>();
    });
    events.subscribe("user:*", ({ type }) => expectTypeOf(type).toEqualTypeOf<"user:created">());
    events.user.mail.sent.subscribe(({ data }) => expectTypeOf(data.to).toEqualTypeOf<string>());
    expectTypeOf(kv.get<{ name: string }>("k")).toEqualTypeOf<Promise<{ name: string } | null>>();
  };
  expect(never).toBeTypeOf("function");
  const open = builder().build();
  expectTypeOf(open.scope("any", "x").kv).toEqualTypeOf(open.kv);
});
