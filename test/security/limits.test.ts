// Tests the limits of a tenant, a connection and a reader: at the limit, and one past it.

import { connect as http2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { anyIs, anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import {
  Client,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import type { Config } from "../../server/config/config.js";
import { Raw, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";
import { Stalled } from "../support/stalled.js";

const s = serve();
const { get } = MutableStore.method;

async function limited(settings: Partial<Config>) {
  const { address } = await s.another(settings);
  return {
    address,
    client: (tenantId: string) => s.client({ address, tenantId }),
    raw: new Raw(address),
  };
}

describe("a tenant's calls a second", () => {
  it("are limited; calls of another tenant do not count; a refused caller is told when to try again", async () => {
    const { raw, client } = await limited({ ratePerSecond: 1, rateBurst: 5 });
    const call = (tenant: string) =>
      raw.call(get, { namespace: "ns", key: "k" }, { "x-tenant-id": tenant });
    const first = await Promise.all(Array.from({ length: 5 }, () => call("busy")));
    for (const reply of first) expect(reply).not.toHaveProperty("reason");
    expect(await call("busy")).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
      reason: "RATE_LIMITED",
      details: { limit: "1", retry_after_ms: expect.stringMatching(/^\d+$/), applied: "no" },
    });
    expect(await call("calm")).not.toHaveProperty("reason");
    // The client waits as long as the server says, and then succeeds.
    const start = performance.now();
    await client("busy").mutable.set("ns", "k", 1);
    expect(performance.now() - start).toBeGreaterThan(200);
    raw.close();
    // A call whose time is over before it may be made again fails at once.
    const slow = await limited({ ratePerSecond: 1, rateBurst: 1 });
    await slow.client("busy").mutable.set("ns", "k", 1);
    await expect(slow.client("busy").mutable.get("ns", "k", { timeoutMs: 900 })).toFailWith(
      "RATE_LIMITED",
    );
    slow.raw.close();
  });

  it("are refused with google.rpc.RetryInfo too, for clients that know only the standard", async () => {
    const { address } = await limited({ ratePerSecond: 1 });
    const client = new Client(address, credentials.createInsecure());
    const same = (bytes: Buffer) => bytes;
    const call = () =>
      new Promise<ServiceError | null>((resolve) =>
        client.makeUnaryRequest(
          `/${MutableStore.typeName}/Exists`,
          same,
          same,
          Buffer.from("0a016e12016b", "hex"),
          new Metadata(),
          (error) => resolve(error),
        ),
      );
    expect(await call()).toBeNull();
    const error = await call();
    const [bytes] = error?.metadata.get("grpc-status-details-bin") ?? [];
    const any = fromBinary(StatusSchema, bytes as Buffer).details.find((one) =>
      anyIs(one, RetryInfoSchema),
    );
    const delay = any && anyUnpack(any, RetryInfoSchema)?.retryDelay;
    expect(delay && durationMs(delay)).toBeGreaterThan(500);
    client.close();
  });
});

describe("what a tenant may store:", () => {
  it("keys: up to the limit and not one more, whatever creates it; existing keys can be changed and deleted", async () => {
    const { client } = await limited({ quotaKeys: 5 });
    const { mutable } = client("keys");
    const refused = { quota: "keys", limit: "5", got: "5" };
    await mutable.setMany("q", { a: 1, b: 2, c: 3 });
    await expect(mutable.setMany("q", { d: 1, e: 1, f: 1 })).toFailWith("QUOTA_EXCEEDED");
    expect(await mutable.count("q")).toBe(3);
    await mutable.set("q", "d", 1);
    await mutable.increment("r", "e", 1, { createIfMissing: true });
    for (const call of [
      () => mutable.set("q", "f", 1),
      () => mutable.increment("q", "f", 1, { createIfMissing: true }),
      () => mutable.transaction((tx) => tx.set("q", "f", 1)),
      () => mutable.update("q", "f", () => 1, { createIfMissing: true }),
      () =>
        mutable.transaction([
          { op: "set", namespace: "q", key: "f", value: 1 },
          { op: "increment", namespace: "q", key: "a" },
        ]),
    ])
      await expect(call()).toFailWith("QUOTA_EXCEEDED", refused);
    expect(await mutable.getMany("q", ["a", "f"])).toEqual([1, null]);
    await mutable.set("q", "a", 2);
    await mutable.setMany("q", { a: 3, b: 3 });
    await mutable.delete("q", "a");
    await mutable.set("q", "f", 1);
    await expect(mutable.set("q", "a", 1)).toFailWith("QUOTA_EXCEEDED", refused);
    expect((await mutable.purgeNamespace("q")).deleted).toBe(4);
    await mutable.setMany("q", { a: 1, b: 1 });
    await client("others").mutable.setMany("q", { a: 1, b: 2, c: 3, d: 4, e: 5 });
  });

  it("keys: writes that run together do not exceed it", async () => {
    const { client } = await limited({ quotaKeys: 200 });
    const { mutable } = client("together");
    const outcomes = await Promise.allSettled(
      Array.from({ length: 600 }, (_, i) => mutable.set("q", `k${i}`, i)),
    );
    const stored = outcomes.filter(({ status }) => status === "fulfilled").length;
    expect(await mutable.count("q")).toBe(stored);
    expect(stored).toBe(200);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason.code).toBe("QUOTA_EXCEEDED");
  });

  it("bytes of values and data: a write that would exceed the limit is refused, one that saves bytes is not", async () => {
    const { client } = await limited({ quotaBytes: 3006 });
    const { mutable, immutable } = client("bytes");
    const text = (n: number) => "x".repeat(n - 2);
    await mutable.set("q", "a", text(1000));
    await immutable.store({ type: "t", id: "i", data: { text: text(991) } }); // 1000 bytes in all
    await expect(mutable.set("q", "b", text(1001))).toFailWith("QUOTA_EXCEEDED", {
      quota: "bytes",
      got: "2004",
    });
    await mutable.set("q", "b", text(1000));
    await expect(mutable.set("q", "c", 1)).toFailWith("QUOTA_EXCEEDED");
    await expect(mutable.append("q", "l", "x", { createIfMissing: true })).toFailWith(
      "QUOTA_EXCEEDED",
    );
    await expect(mutable.set("q", "a", text(1001))).toFailWith("QUOTA_EXCEEDED");
    await expect(immutable.store({ type: "t", id: "i", data: {} })).toFailWith("QUOTA_EXCEEDED");
    await mutable.set("q", "a", text(900));
    await mutable.set("q", "c", 1);
    // Many writes in one call count together, and so does metadata.
    const ten = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`k${i}`, text(50)]));
    await expect(mutable.setMany("q", ten)).toFailWith("QUOTA_EXCEEDED");
    await expect(mutable.set("q", "d", 1, { metadata: { text: text(200) } })).toFailWith(
      "QUOTA_EXCEEDED",
    );
    await expect(
      mutable.transaction((tx) => {
        for (const key of Object.keys(ten)) tx.store({ type: "t", id: key, data: { text: "x" } });
      }),
    ).toFailWith("QUOTA_EXCEEDED");
    await expect(client("bytes").users.create("u", { text: text(200) })).toFailWith(
      "QUOTA_EXCEEDED",
    );
    expect([await mutable.count("q"), await immutable.count()]).toEqual([3, 1]);
    // A write is applied while there is room. When the quota is full, a repeat of this write is not refused.
    const { users } = client("repeats");
    const profile = { text: text(200) };
    const user = await users.create("u", profile, { requestId: "u" });
    await client("repeats").mutable.set("q", "a", text(2700));
    await expect(users.create("v", profile)).toFailWith("QUOTA_EXCEEDED");
    expect(await users.create("u", profile, { requestId: "u" })).toEqual(user);
  });

  it("keys: those of all messages of a transaction count together; a precondition on an absent key counts none", async () => {
    const { address } = await limited({ quotaKeys: 5 });
    const transaction = new RawTransaction(address, { "x-tenant-id": "steps" });
    await transaction.ask({ case: "begin", value: {} });
    const create = (key: string) => ({
      namespace: "q",
      key,
      operation: { case: "set" as const, value: { valueJson: "1" } },
    });
    for (const key of ["a", "b", "c", "d"])
      await transaction.ask({ case: "write", value: { operations: [create(key)] } });
    await expect(
      transaction.ask({ case: "write", value: { operations: [create("e"), create("f")] } }),
    ).rejects.toMatchObject({ reason: "QUOTA_EXCEEDED" });
    transaction.close();
    const raw = new Raw(address);
    const preconditions = Array.from({ length: 10 }, (_, i) => ({
      namespace: "q",
      key: `absent-${i}`,
      condition: { case: "exists" as const, value: false },
    }));
    const commit = { preconditions, operations: [create("k")] };
    expect(
      await raw.call(MutableStore.method.commit, commit, { "x-tenant-id": "steps" }),
    ).toHaveProperty("results");
    raw.close();
  });

  it("versions, also those that a transaction stores; a repeated request counts none", async () => {
    const { client } = await limited({ quotaVersions: 3 });
    const { immutable, mutable } = client("versions");
    const store = (options = {}) => immutable.store({ type: "t", id: "i", data: {} }, options);
    await store();
    await store();
    await store({ requestId: "last" });
    for (const call of [
      store,
      () => mutable.transaction((tx) => tx.store({ type: "t", id: "j", data: {} })),
    ])
      await expect(call()).toFailWith("QUOTA_EXCEEDED", {
        quota: "versions",
        limit: "3",
        got: "3",
      });
    expect((await store({ requestId: "last" })).version).toBe(3);
    await immutable.purgeVersions("t", "i", { keepLatest: 1 }); // also stores a record in the audit trail
    expect((await store()).version).toBe(4);
  });
});

it("a transaction's messages count as calls, and one tenant cannot hold all connections for transactions", async () => {
  const rated = await limited({ ratePerSecond: 1, rateBurst: 5 });
  const chatty = new RawTransaction(rated.address);
  const read = { case: "read" as const, value: { keys: [{ namespace: "ns", key: "k" }] } };
  await chatty.ask({ case: "begin", value: {} });
  for (let i = 0; i < 3; i++) await chatty.ask(read);
  await expect(chatty.ask(read)).rejects.toMatchObject({ reason: "RATE_LIMITED" });
  chatty.close();

  const { address, client } = await limited({ transactionsMax: 2 });
  const transactions = Array.from(
    { length: 3 },
    () => new RawTransaction(address, { "x-tenant-id": "greedy" }),
  );
  await Promise.all(transactions.map((one) => one.ask({ case: "begin", value: {} })));
  transactions.forEach((one, i) => {
    one.send({ case: "read", value: { keys: [{ namespace: "ns", key: `k${i}` }] } });
  });
  await pause(100);
  const other = client("other");
  await other.mutable.transaction((tx) => tx.store({ type: "t", id: "i", data: {} }));
  expect(await other.immutable.count()).toBe(1);
  for (const one of transactions) one.close();
});

it("more calls than may wait are refused at once, and those that wait are served", async () => {
  const { address } = await limited({ queueMax: 10, poolSize: 1 });
  const cortex = s.client({ address });
  await cortex.mutable.set("queue", "k", 1);
  await s.sql.begin(async (tx) => {
    await tx`lock table mutable in access exclusive mode`;
    const raw = new Raw(address);
    const calls = Array.from({ length: 30 }, () =>
      raw.call(MutableStore.method.getRecord, { namespace: "queue", key: "k" }),
    );
    const first = await Promise.race(calls);
    expect(first).toMatchObject({
      reason: "OVERLOADED",
      status: status.RESOURCE_EXHAUSTED,
      details: { limit: "10" },
    });
    await tx`select 1`;
    await tx`rollback`.catch(() => {});
    const outcomes = await Promise.all(calls);
    expect(outcomes.filter((one) => "record" in one)).toHaveLength(11);
    raw.close();
  });
});

describe("connections", () => {
  it("are limited; one that closes makes room for another", async () => {
    const { address } = await limited({ connectionsMax: 3 });
    const [host = "", port] = address.split(":");
    const open = () => {
      const socket = connect(Number(port), host);
      socket.on("error", () => {});
      return new Promise<Socket>((resolve) => socket.once("connect", () => resolve(socket)));
    };
    const sockets = await Promise.all([open(), open(), open()]);
    const raw = new Raw(address);
    expect(await raw.call(get, { namespace: "ns", key: "k" })).toMatchObject({
      status: status.UNAVAILABLE,
    });
    sockets[0]?.destroy();
    await pause(50);
    const cortex = s.client({ address });
    expect(await cortex.mutable.get("ns", "k")).toBeNull();
    for (const socket of sockets) socket.destroy();
    raw.close();
  });

  it("announce how many calls they carry at a time", async () => {
    const { address } = await limited({ streamsMax: 7 });
    const session = http2(`http://${address}`);
    const settings = await new Promise<{ maxConcurrentStreams?: number | undefined }>((resolve) =>
      session.once("remoteSettings", resolve),
    );
    expect(settings.maxConcurrentStreams).toBe(7);
    session.destroy();
  });
});

describe("a reader that takes nothing", () => {
  it("gets an error if it reads the end of the stream after all; otherwise its connection is closed", async () => {
    const refused: string[] = [];
    const log = pino({ level: "debug" }, { write: (line) => void refused.push(line) });
    const { address } = await s.another({ stallSeconds: 1.5 }, log);
    const cortex = s.client({ address });
    const entries = Array.from({ length: 300 }, (_, i) => [`k${i}`, "x".repeat(10_000)]);
    await cortex.mutable.setMany("slow", Object.fromEntries(entries));
    const limit = Buffer.from([0x18, 0xac, 2]); // limit 300
    const back = new Stalled(address, "List", "slow", limit);
    const never = new Stalled(address, "List", "slow", limit);
    while (refused.filter((line) => line.includes("SLOW_READER")).length < 2) await pause(20);
    back.read();
    expect(await back.trailers).toMatchObject({ "grpc-status": `${status.RESOURCE_EXHAUSTED}` });
    await never.closed;
    // A reader that is only slow is served.
    let seen = 0;
    for await (const _ of cortex.mutable.scan("slow")) if (seen++ % 100 === 0) await pause(300);
    expect(seen).toBe(300);
  });

  it("takes no room for ever: once its calls are over, their replies count no longer", async () => {
    const { address, client } = await limited({ unsentBytesMax: 8 * 1024 * 1024 });
    const { mutable } = client("room");
    for (let i = 0; i < 8; i++) await mutable.set("large", `k${i}`, "x".repeat(900_000));
    const headers = { "x-tenant-id": "room", "grpc-timeout": "300m" };
    for (let i = 0; i < 4; i++) {
      const list = new Stalled(address, "List", "large", Buffer.alloc(0), headers);
      await list.begun;
      await pause(600); // its deadline passes while it reads nothing
      list.close();
      await list.closed;
    }
    for (let i = 0; i < 8; i++) expect(await mutable.get("large", `k${i}`)).toHaveLength(900_000);
    expect((await mutable.list("large")).records).toHaveLength(8);
  });

  it("is not a caller that gave up its calls: its connection stays", async () => {
    const { address } = await limited({ stallSeconds: 0.3 });
    const raw = new Raw(address);
    const value = JSON.stringify("x".repeat(100_000));
    const set = (i: number) =>
      raw.call(
        MutableStore.method.set,
        { namespace: "gone", key: `k${i}`, valueJson: value },
        {},
        { deadline: new Date(Date.now() + 1 + (i % 30)) },
      );
    await raw.call(MutableStore.method.set, { namespace: "gone", key: "k", valueJson: "1" });
    await Promise.all(Array.from({ length: 150 }, (_, i) => set(i)));
    const channel = raw.client.getChannel();
    const changed = new Promise<boolean>((resolve) =>
      channel.watchConnectivityState(connectivityState.READY, Date.now() + 1500, (error) =>
        resolve(!error),
      ),
    );
    expect(channel.getConnectivityState(false)).toBe(connectivityState.READY);
    expect(await changed).toBe(false);
    raw.close();
  });

  it("of a single reply has its connection closed", async () => {
    const { address } = await limited({ stallSeconds: 0.5 });
    const cortex = s.client({ address });
    await cortex.mutable.set("slow", "large", "x".repeat(500_000));
    const key = Buffer.concat([Buffer.from([0x12, 5]), Buffer.from("large")]);
    await new Stalled(address, "Get", "slow", key).closed;
    expect(await cortex.mutable.get("slow", "large")).toHaveLength(500_000); // other callers are not affected
  });
});
