import { setTimeout as pause } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { MutableChange } from "../../client/index.js";
import {
  MutableStore,
  WatchRequestSchema,
  WatchResponseSchema,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { type Failure, Raw } from "../support/raw.js";
import { serve } from "../support/server.js";
import { collect, opened } from "../support/watch.js";

const s = serve();
const open = (namespace: string, options = {}) =>
  opened((more) => s.cortex.mutable.watch(namespace, { ...options, ...more }));

const brief = (changes: MutableChange[]) =>
  changes.map(({ kind, key, value }) => [kind, key, ...(value === undefined ? [] : [value])]);

describe("the changes", () => {
  it("come in the order of their commits, of this namespace only", async () => {
    const { mutable } = s.cortex;
    const watch = await open("n1");
    await mutable.set("n1", "a", 1);
    await mutable.update("n1", "a", (n: number) => n + 1);
    await mutable.set("other", "a", 1);
    await mutable.delete("n1", "a");
    await mutable.setMany("n1", { b: 1, c: 2 });
    await mutable.purgeNamespace("n1");
    expect(brief(await collect(watch, 7))).toEqual([
      ["set", "a", 1],
      ["set", "a", 2],
      ["delete", "a"],
      ["set", "b", 1],
      ["set", "c", 2],
      ["purge", "b"],
      ["purge", "c"],
    ]);
  });

  it("have value, revision, agent and time; a removal has the revision that it ended", async () => {
    const { mutable } = s.client({ agentId: "writer" });
    const watch = await open("n2");
    const record = await mutable.set("n2", "a", { big: 12345678901234567890n });
    await mutable.delete("n2", "a");
    await mutable.set("n2", "b", 1);
    await mutable.purgeMany("n2", { keyPrefix: "b" });
    const [set, removed, , purged] = await collect(watch, 4);
    const cursor = expect.any(String);
    expect(set).toEqual({
      ...{ kind: "set", namespace: "n2", key: "a", value: { big: 12345678901234567890n } },
      ...{ revision: record.revision, updatedBy: "writer", at: record.updatedAt, cursor },
    });
    expect(removed).toEqual({
      ...{ kind: "delete", namespace: "n2", key: "a", revision: record.revision },
      ...{ updatedBy: "writer", at: expect.any(Date), cursor },
    });
    expect(purged).toMatchObject({ kind: "purge", key: "b", updatedBy: "writer" });
  });

  it("of a transaction come together, one for each key: what the commit left", async () => {
    const { mutable } = s.cortex;
    const watch = await open("n3");
    await mutable.set("n3", "gone", 1);
    await mutable.transaction(async (tx) => {
      tx.set("n3", "a", 1);
      tx.increment("n3", "a");
      tx.set("n3", "never", 1);
      tx.delete("n3", "never");
      tx.delete("n3", "gone");
      tx.set("n3", "b", await tx.get("n3", "a"));
      tx.store({ type: "t", id: "i", data: {} }); // so that it takes several statements
    });
    await mutable.set("n3", "end", 1);
    const changes = await collect(watch, 5);
    expect(brief(changes.slice(1, 4)).sort()).toEqual([
      ["delete", "gone"],
      ["set", "a", 2],
      ["set", "b", 2],
    ]);
    expect(changes[4]?.key).toBe("end");
  });

  it("are of one key, or of the keys with a prefix", async () => {
    const { mutable } = s.cortex;
    const one = await open("n4", { key: "a" });
    const some = await open("n4", { keyPrefix: "a" });
    await mutable.setMany("n4", { "%": 1, b: 1, ab: 1 });
    await mutable.set("n4", "a", 1);
    expect(brief(await collect(some, 2))).toEqual([
      ["set", "ab", 1],
      ["set", "a", 1],
    ]);
    expect(brief(await collect(one, 1))).toEqual([["set", "a", 1]]);
  });

  it("tell that an entry has expired within 2 s, also if a write is faster than the sweep", async () => {
    const { mutable } = s.cortex;
    const watch = await open("n5");
    const first = await mutable.set("n5", "a", 1, { ttlSeconds: 0.2 });
    await pause(210);
    await mutable.set("n5", "a", 2);
    await mutable.set("n5", "b", 1, { ttlSeconds: 0.2 });
    const [, a, , , b] = await collect(watch, 5);
    expect(a).toMatchObject({ kind: "expire", key: "a", revision: first.revision });
    expect(a?.at).toEqual(first.expiresAt);
    expect(b).toMatchObject({ kind: "expire", key: "b" });
    expect(Date.now() - (b?.at.getTime() ?? 0)).toBeLessThan(2000);
  });

  it("of a user who is erased are an erase for each key, and the values are sent no more", async () => {
    const { mutable, users } = s.cortex;
    await users.upsert("u", {});
    const before = await open("n6");
    await mutable.set("n6", "theirs", "secret", { userId: "u" });
    await mutable.set("n6", "was theirs", "secret", { userId: "u" });
    await mutable.set("n6", "was theirs", "public", { userId: null });
    await mutable.set("n6", "deleted", "secret", { userId: "u" });
    const [first] = await collect(before, 1);
    await mutable.delete("n6", "deleted");
    await users.delete("u", { cascade: true });
    await mutable.set("n6", "end", 1);
    const late = mutable.watch("n6", { cursor: first?.cursor ?? "" });
    expect(brief(await collect(late, 4))).toEqual([
      ["set", "was theirs", "public"],
      ["erase", "deleted"],
      ["erase", "theirs"],
      ["set", "end", 1],
    ]);
  });
});

describe("the current state", () => {
  it("comes first, in the order of keys, then what changes", async () => {
    const { mutable } = s.cortex;
    const keys = Array.from({ length: 2500 }, (_, i) => `k${10_000 + i}`);
    for (let i = 0; i < keys.length; i += 500)
      await mutable.setMany(
        "n7",
        Object.fromEntries(keys.slice(i, i + 500).map((key) => [key, 0])),
      );
    const told: boolean[] = [];
    const watch = mutable.watch("n7", {
      includeCurrent: true,
      onProgress: (_, isCurrent) => told.push(isCurrent),
    });
    const first = await collect(watch, 1).then(([change]) => change);
    expect(first).toMatchObject({ kind: "current", key: keys[0], value: 0 });
    // The rest from that cursor. Meanwhile a key that was sent, and one that was not, are changed.
    await mutable.set("n7", keys[0] as string, 1);
    await mutable.set("n7", keys[9] as string, 1);
    const rest = await collect(mutable.watch("n7", { cursor: first?.cursor ?? "" }), keys.length);
    expect(brief(rest)).toEqual([
      ["set", keys[0], 1],
      ...keys.slice(1).map((key, i) => ["current", key, i === 8 ? 1 : 0]),
    ]);
  });

  it("is told to be complete, also if there is nothing", async () => {
    let isComplete = false;
    const controller = new AbortController();
    const watch = s.cortex.mutable.watch("empty", {
      includeCurrent: true,
      signal: controller.signal,
      onProgress(_, isCurrent) {
        isComplete = isCurrent;
        controller.abort();
      },
    });
    await expect(watch.next()).rejects.toMatchObject({ code: "CANCELLED" });
    expect(isComplete).toBe(true);
  });
});

describe("a cursor", () => {
  it("goes on after its change, on any server", async () => {
    const { mutable } = s.cortex;
    const { address } = await s.another();
    const watch = await open("n8");
    await mutable.set("n8", "a", 1);
    const [first] = await collect(watch, 1);
    await mutable.setMany("n8", { b: 2, c: 3 });
    const next = s.client({ address }).mutable.watch("n8", { cursor: first?.cursor ?? "" });
    const [second] = await collect(next, 1);
    expect(second?.key).toBe("b");
    // Within the changes of one commit too.
    const third = await collect(mutable.watch("n8", { cursor: second?.cursor ?? "" }), 1);
    expect(brief(third)).toEqual([["set", "c", 3]]);
  });

  it("is refused if it is of another watch, of another tenant, or changed", async () => {
    const { mutable } = s.cortex;
    const watch = await open("n9");
    await mutable.set("n9", "a", 1);
    const [{ cursor }] = (await collect(watch, 1)) as [MutableChange];
    const refused = (watch: AsyncGenerator) =>
      expect(watch.next()).rejects.toMatchObject({
        code: "INVALID_CURSOR",
        details: { field: "cursor" },
      });
    await refused(mutable.watch("n10", { cursor }));
    await refused(mutable.watch("n9", { cursor, keyPrefix: "a" }));
    await refused(s.client({ tenantId: "other" }).mutable.watch("n9", { cursor }));
    await refused(mutable.watch("n9", { cursor: `${cursor.slice(0, -2)}AA` }));
    await refused(mutable.watch("n9", { cursor: "" }));
    await refused(mutable.watch("n9", { cursor: "x".repeat(10_000) }));
    expect(() => mutable.watch("n9", { cursor, includeCurrent: true })).toThrow(/includeCurrent/);
    const raw = new Raw(s.address);
    const { watch: rpc } = MutableStore.method;
    const both = create(WatchRequestSchema, { namespace: "n9", cursor, includeCurrent: true });
    expect(await raw.collect(rpc, Buffer.from(toBinary(rpc.input, both)), {}, 1000)).toMatchObject({
      reason: "INVALID_OPTIONS",
    });
    raw.close();
  });

  it("is not needed by a client whose connection breaks", async () => {
    const { mutable } = s.cortex;
    const { running, address } = await s.another().then((one) => ({
      running: one,
      address: one.address,
    }));
    const client = s.client({ address });
    const watch = await opened((more) => client.mutable.watch("n11", more));
    await mutable.set("n11", "a", 1);
    const seen = collect(watch, 3);
    await pause(50);
    await running.stop();
    await mutable.set("n11", "b", 1);
    await s.another({ listen: address });
    await mutable.set("n11", "c", 1);
    expect((await seen).map(({ key }) => key)).toEqual(["a", "b", "c"]);
  });
});

describe("a watch", () => {
  it("of names that cannot be is refused", async () => {
    const refused = (code: string, namespace: string, options = {}) =>
      expect(s.cortex.mutable.watch(namespace, options).next()).rejects.toMatchObject({ code });
    await refused("INVALID_NAMESPACE", "");
    await refused("INVALID_KEY", "n", { key: "" });
    await refused("INVALID_KEY", "n", { key: "x".repeat(1025) });
    await refused("INVALID_FILTER", "n", { keyPrefix: "" });
    await refused("INVALID_FILTER", "n", { keyPrefix: "\0" });
    await refused("INVALID_OPTIONS", "n", { key: "a", keyPrefix: "a" });
    expect(() => s.cortex.mutable.watch("n", { prefix: "a" } as never)).toThrow(/prefix/);
  });

  it("that reads slowly misses nothing: what does not fit its queue comes from the log", async () => {
    const { mutable } = s.cortex;
    const watch = await open("n12");
    const value = "x".repeat(2000);
    const total = 6000; // 12 MB: more than its queue and its connection hold
    for (let i = 0; i < total; i += 500)
      await mutable.setMany(
        "n12",
        Object.fromEntries(Array.from({ length: 500 }, (_, j) => [`k${100_000 + i + j}`, value])),
      );
    const keys = (await collect(watch, total)).map(({ key }) => key);
    expect(keys).toEqual(Array.from({ length: total }, (_, i) => `k${100_000 + i}`));
  });

  it("that is quiet for longer than its timeout goes on", async () => {
    const watch = await open("n15", { timeoutMs: 300 });
    await pause(1000);
    await s.cortex.mutable.set("n15", "a", 1);
    expect(brief(await collect(watch, 1))).toEqual([["set", "a", 1]]);
  });

  it("ends when its client is closed", async () => {
    const client = s.client();
    const watch = await opened((more) => client.mutable.watch("n16", more));
    const next = watch.next();
    await pause(50);
    await client.close();
    await expect(next).rejects.toMatchObject({ code: "CANCELLED" });
  });

  it("sends its first message at once, without changes", async () => {
    const raw = new Raw(s.address);
    const request = create(WatchRequestSchema, { namespace: "quiet" });
    const { watch } = MutableStore.method;
    const bytes = Buffer.from(toBinary(watch.input, request));
    const messages = await raw.collect(watch, bytes, {}, 500);
    raw.close();
    expect((messages as Buffer[]).map((one) => fromBinary(WatchResponseSchema, one))).toEqual([
      expect.objectContaining({ changes: [], cursor: expect.any(String), currentComplete: false }),
    ]);
  });

  it("ends at once when the server stops, with its cursor", async () => {
    const running = await s.another({ drainSeconds: 10 });
    const raw = new Raw(running.address);
    const { watch } = MutableStore.method;
    const request = create(WatchRequestSchema, { namespace: "n13" });
    const bytes = Buffer.from(toBinary(watch.input, request));
    const failure = raw.collect(watch, bytes, {}, 5000);
    await pause(200);
    const startedAt = performance.now();
    await running.stop();
    expect(performance.now() - startedAt).toBeLessThan(2000);
    const { reason, details } = (await failure) as Failure;
    raw.close();
    expect(reason).toBe("SHUTTING_DOWN");
    await s.cortex.mutable.set("n13", "a", 1);
    const next = await collect(s.cortex.mutable.watch("n13", { cursor: details?.cursor ?? "" }), 1);
    expect(brief(next)).toEqual([["set", "a", 1]]);
  });
});

describe("without LISTEN", () => {
  it("changes made on another server come within a second or two", async () => {
    const { address } = await s.another({ watchListen: false });
    const client = s.client({ address });
    const watch = await opened((more) => client.mutable.watch("n14", more));
    await s.cortex.mutable.set("n14", "a", 1);
    expect(brief(await collect(watch, 1))).toEqual([["set", "a", 1]]);
  });
});

describe("waitFor", () => {
  it("gives the value that is there, or the first for which the condition holds", async () => {
    const { mutable } = s.cortex;
    await mutable.set("jobs", "j", { state: "new" });
    expect(await mutable.waitFor("jobs", "j", (job) => job?.state === "new")).toEqual({
      state: "new",
    });
    const done = mutable.waitFor("jobs", "j", (job) => job?.state === "done");
    await mutable.set("jobs", "j", { state: "running" });
    await mutable.set("jobs", "j", { state: "done" });
    expect(await done).toEqual({ state: "done" });
    const gone = mutable.waitFor("jobs", "j", (job) => job === null);
    await mutable.delete("jobs", "j");
    expect(await gone).toBeNull();
    expect(await mutable.waitFor("jobs", "never", (job) => job === null)).toBeNull();
  });

  it("fails if the condition does not hold in time, throws, or is none", async () => {
    const { mutable } = s.cortex;
    await expect(
      mutable.waitFor("jobs", "x", () => false, { timeoutMs: 100 }),
    ).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    // As the first call of a client, too.
    await expect(
      s.client().mutable.waitFor("jobs", "x", () => false, { timeoutMs: 500 }),
    ).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await expect(
      mutable.waitFor("jobs", "x", () => {
        throw new Error("mine");
      }),
    ).rejects.toThrow("mine");
    await expect(mutable.waitFor("jobs", "x", "y" as never)).rejects.toMatchObject({
      code: "INVALID_OPTIONS",
    });
  });
});
