// The events of the typed store: schemas, the proxy, patterns, and validation.

import { setTimeout as pause } from "node:timers/promises";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { cortexStoreAdapter } from "../../client/igniter/index.js";
import {
  CortexStore,
  CortexStoreEvents,
  type EventContext,
  type EventValidation,
} from "../../client/index.js";
import { serve } from "../support/server.js";

const s = serve();
const UserEvents = CortexStoreEvents.create("user")
  .event("created", z.object({ id: z.string(), plan: z.string().default("free") }))
  .event("deleted", v.object({ id: v.string(), why: v.optional(v.string()) }))
  .group("notifications", (group) =>
    group
      .event("email", z.object({ to: z.string() }))
      .group("push", (push) => push.event("sent", z.object({ token: z.string() }))),
  )
  .build();

let services = 0;
const logged: unknown[][] = [];
const logger = { warn: (...args: unknown[]) => logged.push(args) };

function newStore(place: "server" | "adapter", validation?: EventValidation) {
  const builder =
    place === "server"
      ? CortexStore.create().withClient(s.cortex)
      : CortexStore.create().withAdapter(cortexStoreAdapter(s.cortex));
  return builder
    .withService(`events-${++services}`)
    .addScope("organization")
    .addEvents(UserEvents, validation)
    .withLogger(logger)
    .build();
}

const collecting = () => {
  const got: EventContext[] = [];
  return {
    got,
    handler: (context: EventContext) => void got.push(context),
    count: (n: number) => expect.poll(() => got.length, { timeout: 15_000 }).toBe(n),
  };
};

describe.each(["server", "adapter"] as const)("on a %s", (place) => {
  it("come by their names and by the proxy, as envelopes, until the subscription ends", async () => {
    const { events } = newStore(place);
    const [byName, byProxy] = [collecting(), collecting()];
    const off = await events.subscribe("user:created", byName.handler);
    await events.user.created.subscribe(byProxy.handler);
    await events.publish("user:created", { id: "u1" });
    await events.user.created.publish({ id: "u2", plan: "pro" });
    await byName.count(2);
    await byProxy.count(2);
    expect(byName.got).toEqual(byProxy.got);
    expect(byName.got[0]).toEqual({
      type: "user:created",
      data: { id: "u1", plan: "free" },
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
    await off();
    await off();
    await events.user.deleted.publish({ id: "u", why: undefined }); // as if it were not there
    await events.user.created.publish({ id: "u3" });
    await byProxy.count(3);
    expect(byName.got).toHaveLength(2);
  });

  it("of groups have names with colons", async () => {
    const { events } = newStore(place);
    const got = collecting();
    await events.subscribe("user:notifications:**", got.handler);
    await events.user.notifications.email.publish({ to: "a@b.example" });
    await events.user.notifications.push.sent.publish({ token: "t" });
    await got.count(2);
    expect(got.got.map(({ type }) => type)).toEqual([
      "user:notifications:email",
      "user:notifications:push:sent",
    ]);
  });

  it("match wildcards: * one segment, ** the rest", async () => {
    const { events } = newStore(place);
    const [one, rest, all] = [collecting(), collecting(), collecting()];
    await events.subscribe("user:*", one.handler);
    await events.subscribe("user:**", rest.handler);
    await events.subscribe("**", all.handler);
    await events.publish("other", 1);
    await events.user.deleted.publish({ id: "u" });
    await events.user.notifications.email.publish({ to: "x" });
    await all.count(3);
    await rest.count(2);
    expect(one.got.map(({ type }) => type)).toEqual(["user:deleted"]);
  });

  it("say the scope in which they were published, and do not cross scopes", async () => {
    const store = newStore(place);
    const org = store.scope("organization", "org_1");
    const [outer, inner, other] = [collecting(), collecting(), collecting()];
    await store.events.subscribe("**", outer.handler);
    await org.events.subscribe("**", inner.handler);
    await store.scope("organization", "org_2").events.subscribe("**", other.handler);
    await org.events.user.deleted.publish({ id: "u" });
    await store.events.publish("last", 1);
    await inner.count(1);
    await outer.count(1);
    expect(inner.got[0]?.scope).toEqual({ key: "organization", identifier: "org_1" });
    expect(outer.got[0]?.type).toBe("last");
    expect(other.got).toEqual([]);
  });

  it("that do not match their schema are not published", async () => {
    const { events } = newStore(place);
    const got = collecting();
    await events.subscribe("**", got.handler);
    await expect(events.publish("user:created", { id: 7 } as never)).rejects.toMatchObject({
      name: "CortexError",
      code: "INVALID_VALUE",
      details: { path: "data.id", channel: "user:created", issues: [{ path: ["id"] }] },
    });
    await expect(events.user.deleted.publish({} as never)).rejects.toMatchObject({
      code: "INVALID_VALUE",
      details: { path: "data.id" },
    });
    await expect(events.publish("user:craeted" as never, {} as never)).rejects.toMatchObject({
      code: "INVALID_CHANNEL",
    });
    await expect(events.publish("user" as string, {})).rejects.toMatchObject({
      code: "INVALID_CHANNEL",
    });
    await expect(events.subscribe("user:notifications" as string, () => {})).rejects.toMatchObject({
      code: "INVALID_CHANNEL",
    });
    await expect(events.publish("", 1)).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
    await expect(events.publish("a:*", 1)).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
    await expect(events.subscribe("a", 5 as never)).rejects.toMatchObject({
      code: "INVALID_OPTIONS",
    });
    await events.publish("last", 1);
    await got.count(1);
  });

  it("are published as they are with validatePublish: false, and checked by subscribers that validate", async () => {
    const { events } = newStore(place, { validatePublish: false, validateSubscribe: true });
    const got = collecting();
    await events.user.created.subscribe(got.handler);
    logged.length = 0;
    await events.user.created.publish({ id: 7 } as never);
    await events.user.created.publish({ id: "u" });
    await got.count(1);
    expect(got.got[0]?.data).toEqual({ id: "u", plan: "free" });
    expect(logged).toMatchObject([
      ["a subscription to user:created failed", { code: "INVALID_VALUE" }],
    ]);
  });

  it("pass with throwOnValidationError: false, and the logger is told", async () => {
    const { events } = newStore(place, {
      validateSubscribe: true,
      throwOnValidationError: false,
    });
    const got = collecting();
    await events.user.created.subscribe(got.handler);
    logged.length = 0;
    await events.user.created.publish({ id: 7 } as never);
    await got.count(1);
    expect(got.got[0]?.data).toEqual({ id: 7 });
    expect(logged).toMatchObject([
      ["an event on user:created does not match its schema", { code: "INVALID_VALUE" }],
      ["an event on user:created does not match its schema", { code: "INVALID_VALUE" }],
    ]);
  });

  it("do not come after the subscription has ended, also those that wait", async () => {
    const { events } = newStore(place);
    const got: unknown[] = [];
    let free = () => {};
    const off = await events.subscribe("a", async ({ data }) => {
      got.push(data);
      await new Promise<void>((resolve) => {
        free = resolve;
      });
    });
    for (const n of [1, 2, 3]) await events.publish("a", n);
    await expect.poll(() => got).toEqual([1]);
    await pause(50);
    await off();
    free();
    await pause(50);
    expect(got).toEqual([1]);
  });

  it("go on after a handler that throws, which the logger is told", async () => {
    const { events } = newStore(place);
    const got = collecting();
    let calls = 0;
    await events.subscribe("a", (context) => {
      if (++calls === 1) throw new Error("not this one");
      got.handler(context);
    });
    logged.length = 0;
    await events.publish("a", 1);
    await events.publish("a", 2);
    await got.count(1);
    expect(logged).toMatchObject([["a subscription to a failed", { message: "not this one" }]]);
  });
});

describe("a builder of events", () => {
  it("refuses names that are none, twice or reserved, and schemas that are none", () => {
    const events = CortexStoreEvents.create("a").event("b", z.string());
    const refused = (call: () => unknown, code: string) =>
      expect(call).toThrow(expect.objectContaining({ name: "CortexError", code }));
    for (const name of ["", " ", "a b", "a.b", "a:b", "*", "__proto__", 7])
      refused(() => CortexStoreEvents.create(name as string), "INVALID_NAMESPACE");
    refused(() => CortexStoreEvents.create("publish"), "INVALID_NAMESPACE");
    refused(() => CortexStoreEvents.create("subscribe"), "INVALID_NAMESPACE");
    for (const name of ["", "a b", "a.b", "a:b", "a*", "__x"]) {
      refused(() => events.event(name, z.string()), "INVALID_CHANNEL");
      refused(() => events.group(name, (group) => group), "INVALID_CHANNEL");
    }
    refused(() => events.event("b", z.string()), "INVALID_CONFIG");
    refused(() => events.group("b", (group) => group), "INVALID_CONFIG");
    refused(
      () => events.group("g", (group) => group.event("x", z.string()).event("x", z.string())),
      "INVALID_CONFIG",
    );
    refused(() => events.event("c", {} as never), "INVALID_CONFIG");
    refused(() => events.event("c", undefined as never), "INVALID_CONFIG");
    expect(Object.keys(events.event("c", z.string()).build().events)).toEqual(["b", "c"]);
    expect(Object.keys(events.build().events)).toEqual(["b"]);
  });
});
