import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { Events } from "../../gen/cortex/events/v1/events_pb.js";
import { subscribed } from "../support/events.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();

describe("an event", () => {
  it("comes as an envelope: type, data, timestamp, and who published it", async () => {
    const got = await subscribed(s.cortex, "user:created");
    const before = Date.now();
    await s
      .client({ agentId: "agent-1" })
      .events.publish("user:created", { id: 12345678901234567890n });
    await s.cortex.events.publish("user:created", null);
    await got.count(2);
    const [first, second] = got.events;
    expect(first).toEqual({
      type: "user:created",
      data: { id: 12345678901234567890n },
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      publishedBy: "agent-1",
    });
    expect(Math.abs(Date.parse(first?.timestamp ?? "") - before)).toBeLessThan(60_000);
    expect(second).toEqual({
      type: "user:created",
      data: null,
      timestamp: expect.any(String),
    });
  });

  it("that cannot be is refused, and none of its call is published", async () => {
    const { events } = s.cortex;
    const got = await subscribed(s.cortex, "**");
    const refused = (code: string, channel: unknown, data: unknown = 1, options = {}) =>
      expect(events.publish(channel as string, data, options)).rejects.toMatchObject({ code });
    await refused("INVALID_CHANNEL", "");
    await refused("INVALID_CHANNEL", " ");
    await refused("INVALID_CHANNEL", "x".repeat(513));
    await refused("INVALID_CHANNEL", "a\0");
    await refused("INVALID_CHANNEL", "a:*");
    await refused("INVALID_CHANNEL", "a*b");
    await refused("INVALID_CHANNEL", 7);
    await refused("INVALID_VALUE", "a", () => {});
    await refused("INVALID_VALUE", "a", Number.NaN);
    await refused("VALUE_TOO_LARGE", "a", "x".repeat(64 * 1024 - 1));
    await refused("INVALID_USER_ID", "a", 1, { userId: "" });
    await refused("USER_NOT_FOUND", "a", 1, { userId: "nobody" });
    await refused("INVALID_OPTIONS", "a", 1, { ttlSeconds: 1 });
    await expect(
      events.publishMany([
        { channel: "a", data: 1 },
        { channel: "b", data: 1, userId: "nobody" },
      ]),
    ).rejects.toMatchObject({ code: "USER_NOT_FOUND", details: { user_id: "nobody" } });
    await expect(
      events.publishMany([
        { channel: "a", data: 1 },
        { channel: "b*", data: 1 },
      ]),
    ).rejects.toMatchObject({ code: "INVALID_CHANNEL", details: { field: "events[1].channel" } });
    const many = Array.from({ length: 1001 }, () => ({ channel: "a", data: 1 }));
    await expect(events.publishMany(many)).rejects.toMatchObject({ code: "INVALID_BATCH" });
    await expect(events.publishMany({} as never)).rejects.toMatchObject({ code: "INVALID_BATCH" });
    await events.publishMany([]);
    await events.publish("last", 1);
    await got.count(1);
    expect(got.types).toEqual(["last"]);
  });

  it("may be as large as the limits, and published with 999 others", async () => {
    const { events } = s.cortex;
    const got = await subscribed(s.cortex, "*");
    const channel = "ä".repeat(256);
    const data = "x".repeat(64 * 1024 - 2);
    await events.publish(channel, data);
    await got.count(1);
    expect(got.events[0]).toMatchObject({ type: channel, data });
    await events.publishMany(Array.from({ length: 1000 }, (_, i) => ({ channel: "n", data: i })));
    await got.count(1001);
    expect(got.events.slice(1).map(({ data }) => data)).toEqual([...Array(1000).keys()]);
  });

  it("is published once under a request id, on any server; a repeat after it came is silent", async () => {
    const { events } = s.cortex;
    const other = s.client({ address: (await s.another()).address }).events;
    const got = await subscribed(s.cortex, "once");
    const requestId = "publish-1";
    await events.publish("once", 1, { requestId });
    await events.publish("once", 1, { requestId });
    await other.publish("once", 1, { requestId });
    await Promise.all([1, 2, 3].map(() => other.publish("once", 2, { requestId: "publish-2" })));
    await expect(events.publish("once", 3, { requestId })).rejects.toMatchObject({
      code: "REQUEST_ID_REUSED",
    });
    await expect(events.publish("once", 3, { requestId: "" })).rejects.toMatchObject({
      code: "INVALID_REQUEST_ID",
    });
    await events.publish("once", "end");
    await got.count(3);
    expect(got.events.map(({ data }) => data)).toEqual([1, 2, "end"]);
  });

  it("under a claim is published while the claim is held", async () => {
    const { claims, events } = s.cortex;
    const got = await subscribed(s.cortex, "guarded");
    const claim = (await claims.acquire("publisher", { ttlSeconds: 60 })) as Claim;
    await claim.events.publish("guarded", 1);
    await events.publish("guarded", 2, { claim });
    await claim.release();
    const stale = { code: "FENCE_STALE", details: { claim: "publisher", fence: claim.fence } };
    await expect(claim.events.publish("guarded", 3)).rejects.toMatchObject(stale);
    await expect(events.publish("guarded", 3, { claim })).rejects.toMatchObject(stale);
    await expect(
      events.publishMany([{ channel: "guarded", data: 3 }], { claim }),
    ).rejects.toMatchObject(stale);
    await events.publish("guarded", "end");
    await got.count(3);
    expect(got.events.map(({ data }) => data)).toEqual([1, 2, "end"]);
  });
});

describe("in a transaction an event", () => {
  it("is published exactly if the transaction is committed, with what it wrote", async () => {
    const { mutable } = s.cortex;
    const got = await subscribed(s.cortex, "order:*");
    await mutable.set("orders", "1", { state: "new" });
    const { operationsExecuted, results } = await mutable.transaction([
      { op: "set", namespace: "orders", key: "1", value: { state: "packed" } },
      { op: "publish", channel: "order:packed", data: { id: 1 } },
      { op: "store", type: "order", id: "1", data: { state: "packed" } },
      { op: "publish", channel: "order:packed", data: { id: 1, again: true } },
    ]);
    expect(operationsExecuted).toBe(4);
    expect(results[1]).toEqual({ published: "order:packed" });
    await mutable.transaction((tx) => {
      tx.update("orders", "1", (order: object) => ({ ...order, state: "sent" }));
      tx.publish("order:sent", { id: 1 });
    });
    const failing = mutable.transaction((tx) => {
      tx.publish("order:lost", { id: 1 });
      tx.delete("orders", "nothing");
    });
    await expect(failing).rejects.toMatchObject({ code: "TRANSACTION_FAILED" });
    await expect(
      mutable.transaction([
        { op: "publish", channel: "order:lost", data: 1 },
        { op: "delete", namespace: "orders", key: "nothing" },
      ]),
    ).rejects.toMatchObject({ details: { reason: "KEY_NOT_FOUND", operationIndex: 1 } });
    await mutable.transaction([{ op: "publish", channel: "order:end", data: 1 }]); // alone, too
    await got.count(4);
    expect(got.types).toEqual(["order:packed", "order:packed", "order:sent", "order:end"]);
    expect(await mutable.get("orders", "1")).toEqual({ state: "sent" });
  });

  it("is published once, however often the commit is repeated", async () => {
    const { mutable } = s.cortex;
    const got = await subscribed(s.cortex, "repeated");
    const operations = [{ op: "publish" as const, channel: "repeated", data: 1 }];
    const first = await mutable.transaction(operations, { requestId: "commit-1" });
    expect(await mutable.transaction(operations, { requestId: "commit-1" })).toEqual(first);
    await expect(
      mutable.transaction([{ op: "publish", channel: "repeated", data: 2 }], {
        requestId: "commit-1",
      }),
    ).rejects.toMatchObject({ code: "REQUEST_ID_REUSED" });
    await s.cortex.events.publish("repeated", "end");
    await got.count(2);
    expect(got.events.map(({ data }) => data)).toEqual([1, "end"]);
  });

  it("of a user leaves nothing of it in the stored reply once the user is erased", async () => {
    const { mutable, users } = s.cortex;
    await users.upsert("u9", {});
    const operation = { op: "publish" as const, channel: "of u9", data: 1, userId: "u9" };
    const options = { requestId: "of a user" };
    await mutable.transaction([operation], options);
    await users.delete("u9", { cascade: true, verify: true });
    const rows = await s.sql`select * from request`;
    expect(JSON.stringify(rows)).not.toContain("of u9");
    await expect(mutable.transaction([operation], options)).rejects.toMatchObject({
      code: "REPLY_ERASED",
    });
  });

  it("that cannot be fails the transaction, with its index", async () => {
    const { mutable } = s.cortex;
    const failed = (event: object, reason: string, more = {}) =>
      expect(
        mutable.transaction([
          { op: "set", namespace: "n", key: "k", value: 1 },
          { op: "publish", channel: "c", data: 1, ...event },
        ]),
      ).rejects.toMatchObject({
        code: "TRANSACTION_FAILED",
        details: { reason, operationIndex: 1, ...more },
      });
    await failed({ channel: "a*" }, "INVALID_CHANNEL", { field: "operations[1].publish.channel" });
    await failed({ data: "x".repeat(64 * 1024) }, "VALUE_TOO_LARGE");
    await failed({ userId: "nobody" }, "USER_NOT_FOUND");
    await expect(
      mutable.transaction([{ op: "publish", channel: "c", data: 1, key: "k" } as never]),
    ).rejects.toMatchObject({ code: "INVALID_OPTIONS" });
    await expect(
      mutable.transaction((tx) => tx.publish("c", 1, { key: "k" } as never)),
    ).rejects.toMatchObject({ details: { reason: "INVALID_OPTIONS" } });
    expect(await mutable.get("n", "k")).toBeNull();
  });

  it("waits for the commit of Transact, and is dropped by a rollback", async () => {
    const got = await subscribed(s.cortex, "late");
    const transaction = async (end: "commit" | "rollback", data: string) => {
      const one = new RawTransaction(s.address);
      await one.ask({ case: "begin", value: {} });
      const publish = { channel: "late", dataJson: data };
      const answer = await one.ask({
        case: "write",
        value: { operations: [{ operation: { case: "publish", value: publish } }] },
      });
      expect(answer).toMatchObject({
        value: { results: [{ result: { case: "published", value: { channel: "late" } } }] },
      });
      await pause(50);
      expect(got.events.map(({ data }) => `${data}`)).not.toContain(data);
      await one.ask({ case: end, value: {} });
      one.close();
    };
    await transaction("rollback", "1");
    await transaction("commit", "2");
    await got.count(1);
    expect(got.events[0]?.data).toBe(2);
  });
});

describe("without a log of changes", () => {
  const without = serve({ watchRetention: 0 });

  it("nothing is published", async () => {
    const { events, mutable } = without.cortex;
    const disabled = { code: "WATCH_DISABLED" };
    await expect(events.publish("a", 1)).rejects.toMatchObject(disabled);
    await expect(events.subscribe("a", () => {})).rejects.toMatchObject(disabled);
    const operation = { op: "publish" as const, channel: "a", data: 1 };
    await expect(mutable.transaction([operation])).rejects.toMatchObject(disabled);
  });
});

describe("a tenant that publishes too much", () => {
  const small = serve({ watchBytesMax: 16 * 1024 * 1024, watchRetention: 3 });

  it("must wait, and nobody else", async () => {
    const raw = new Raw(small.address);
    const { publish } = Events.method;
    const big = Array.from({ length: 40 }, () => ({ channel: "a", dataJson: noise() }));
    let answer = {};
    await expect
      .poll(
        async () => {
          answer = await raw.call(publish, { events: big }, { "x-tenant-id": "loud" });
          return answer;
        },
        { timeout: 20_000, interval: 1 },
      )
      .toMatchObject({ reason: "OVERLOADED" });
    expect(answer).toMatchObject({
      details: {
        applied: "no",
        retry_after_ms: "1000",
        limit: `${4 * 1024 * 1024} bytes of all tenants`,
      },
    });
    raw.close();
    const quiet = small.client({ tenantId: "quiet" });
    const got = await subscribed(quiet, "a");
    await quiet.events.publish("a", 1);
    await got.count(1);
    // Soon the loud one may go on: what it has published is gone.
    await small.client({ tenantId: "loud", timeoutMs: 60_000 }).events.publish("a", 1);
  }, 90_000);
});

/** 32 KiB that cannot be compressed. */
const noise = () =>
  JSON.stringify(
    Array.from({ length: 4000 }, () => Math.random().toString(36))
      .join("")
      .slice(0, 32_000),
  );
