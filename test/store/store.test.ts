// The typed store: what each of its parts does, on a server and in an adapter.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { cortexStoreAdapter } from "../../client/igniter/index.js";
import { CortexStore, type Store, type StoreAdapter } from "../../client/index.js";
import { Mutable } from "../../client/mutable/mutable.js";
import { serve } from "../support/server.js";

const s = serve({ sweepSeconds: 0.2 });
let services = 0;

const builder = (place: "server" | "adapter") =>
  place === "server"
    ? CortexStore.create().withClient(s.cortex)
    : CortexStore.create().withAdapter(cortexStoreAdapter(s.cortex));

describe.each(["server", "adapter"] as const)("on a %s", (place) => {
  const newStore = (service = `service-${place}-${++services}`) =>
    builder(place).withService(service).build();

  describe("kv", () => {
    it("stores any JSON, and gives null where there is nothing", async () => {
      const { kv } = newStore();
      expect(await kv.get("none")).toBeNull();
      expect(await kv.exists("none")).toBe(false);
      for (const value of [{ name: "Avery", list: [1, null] }, "text", 0, false, [], null]) {
        await kv.set("k", value);
        expect(await kv.get("k")).toEqual(value);
        expect(await kv.exists("k")).toBe(true);
      }
      expect(await kv.remove("k")).toBe(true);
      expect(await kv.remove("k")).toBe(false);
      expect(await kv.get("k")).toBeNull();
    });

    it("expires after its ttl, and a set without ttl ends an earlier one", async () => {
      const { kv } = newStore();
      await kv.set("short", 1, { ttl: 0.2 });
      await kv.set("kept", 1, { ttl: 0.2 });
      await kv.set("kept", 2);
      await kv.set("later", 1);
      expect(await kv.expire("later", 0.2)).toBe(true);
      expect(await kv.touch("later", 0.2)).toBe(true);
      expect(await kv.expire("none", 5)).toBe(false);
      expect(await kv.touch("none", 5)).toBe(false);
      await expect.poll(() => kv.exists("short")).toBe(false);
      await expect.poll(() => kv.exists("later")).toBe(false);
      expect(await kv.get("kept")).toBe(2);
    });

    it("refuses what cannot be, and changes nothing", async () => {
      const { kv } = newStore();
      await kv.set("k", 1);
      const refused = (call: Promise<unknown>, code: string) =>
        expect(call).rejects.toMatchObject({ name: "CortexError", code });
      await refused(kv.get(""), "INVALID_KEY");
      await refused(kv.get(7 as never), "INVALID_KEY");
      await refused(kv.set("k", 2, { ttl: 0 }), "INVALID_TTL");
      await refused(kv.set("k", 2, { ttl: -1 }), "INVALID_TTL");
      await refused(kv.set("k", 2, { ttl: "60" as never }), "INVALID_TTL");
      await refused(kv.set("k", 2, { ttlSeconds: 60 } as never), "INVALID_OPTIONS");
      await refused(
        kv.set("k", () => {}),
        "INVALID_VALUE",
      );
      await refused(kv.expire("k", 0), "INVALID_TTL");
      await refused(kv.touch("k", Number.NaN), "INVALID_TTL");
      await refused(kv.get("x".repeat(1025)), "INVALID_KEY");
      expect(await kv.get("k")).toBe(1);
    });
  });

  describe("counter", () => {
    it("begins at 0, adds and subtracts, and expires", async () => {
      const { counter, kv } = newStore();
      expect(await counter.increment("views")).toBe(1);
      expect(await counter.increment("views", 5)).toBe(6);
      expect(await counter.decrement("views")).toBe(5);
      expect(await counter.decrement("credits", 2)).toBe(-2);
      expect(await counter.expire("views", 0.2)).toBe(true);
      expect(await counter.expire("none", 1)).toBe(false);
      expect(await kv.get("views")).toBeNull();
      await expect.poll(() => counter.increment("views"), { interval: 300 }).toBe(1);
      await expect(counter.increment("views", "1" as never)).rejects.toMatchObject({
        code: "INVALID_AMOUNT",
      });
    });

    it("loses no increment of many at once", async () => {
      const { counter } = newStore();
      const got = await Promise.all(Array.from({ length: 50 }, () => counter.increment("n")));
      expect(got.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
    });
  });

  describe("claim", () => {
    it("goes to one caller, until its ttl is over", async () => {
      const { claim, kv } = newStore();
      const got = await Promise.all(
        ["a", "b", "c"].map((worker) => claim.once("job", worker, { ttl: 0.3 })),
      );
      expect(got.filter(Boolean)).toHaveLength(1);
      expect(await kv.get("job")).toBeNull();
      await expect.poll(() => claim.once("job", "d", { ttl: 30 })).toBe(true);
    });

    it("without a ttl lasts until it is released by its value, or removed", async () => {
      const { claim, kv } = newStore();
      expect(await claim.once("job", { worker: 1 })).toBe(true);
      expect(await claim.once("job", { worker: 2 }, { ttl: 1 })).toBe(false);
      expect(await claim.release("job", { worker: 2 })).toBe(false);
      expect(await claim.once("job", { worker: 2 })).toBe(false);
      expect(await claim.release("job", { worker: 1 })).toBe(true);
      expect(await claim.release("job", { worker: 1 })).toBe(false);
      expect(await claim.once("job", "other")).toBe(true);
      expect(await kv.remove("job")).toBe(true);
      expect(await claim.once("job", "third")).toBe(true);
    });
  });

  describe("batch", () => {
    it("keeps the order of the keys, with null for holes", async () => {
      const { batch, kv } = newStore();
      await batch.set([
        { key: "a", value: { n: 1 }, ttl: 3600 },
        { key: "b", value: 2 },
        { key: "short", value: 3, ttl: 0.1 },
      ]);
      expect(await batch.get(["b", "none", "a", "b"])).toEqual([2, null, { n: 1 }, 2]);
      expect(await batch.get([])).toEqual([]);
      await batch.set([]);
      await expect.poll(() => kv.exists("short")).toBe(false);
      await expect(batch.get("ab" as never)).rejects.toMatchObject({ code: "INVALID_BATCH" });
      await expect(batch.get([""])).rejects.toMatchObject({
        code: "INVALID_KEY",
        details: { field: "keys[0]" },
      });
      await expect(
        batch.set([
          { key: "c", value: 1 },
          { key: "d", value: 1, ttl: -1 },
        ]),
      ).rejects.toMatchObject({ code: "INVALID_TTL" });
      await expect(batch.set([{ key: "c", val: 1 } as never])).rejects.toMatchObject({
        code: "INVALID_BATCH",
      });
      const twice = [1, 2].map((value) => ({ key: "c", value }));
      await expect(batch.set(twice)).rejects.toMatchObject({ code: "INVALID_BATCH" });
      const many = Array.from({ length: 1001 }, (_, i) => `k-${i}`);
      await expect(batch.get(many)).rejects.toMatchObject({ code: "INVALID_BATCH" });
      await expect(batch.set(many.map((key) => ({ key, value: 1 })))).rejects.toMatchObject({
        code: "INVALID_BATCH",
      });
      await batch.set(many.slice(1).map((key) => ({ key, value: 1 })));
      expect((await batch.get(many.slice(1))).every((value) => value === 1)).toBe(true);
      expect(await kv.exists("c")).toBe(false);
    });
  });

  describe("dev.scan", () => {
    it("finds the keys of kv by a pattern, page by page", async () => {
      const { batch, dev, counter } = newStore();
      const keys = Array.from({ length: 25 }, (_, i) => `user:${String(i).padStart(2, "0")}`);
      await batch.set([...keys, "user*", "usher", "ü:1"].map((key) => ({ key, value: 1 })));
      await counter.increment("user:counter");
      const all = async (pattern: string, count?: number) => {
        const found: string[] = [];
        let cursor = "0";
        do {
          const page = await dev.scan(pattern, { cursor, count });
          found.push(...page.keys);
          cursor = page.cursor;
        } while (cursor !== "0");
        return found;
      };
      expect(await all("user:*")).toEqual(keys);
      expect(await all("user:*", 7)).toEqual(keys);
      expect((await dev.scan("user:*", { count: 7 })).keys).toHaveLength(7);
      expect(await all("user:?5")).toEqual(["user:05", "user:15"]);
      expect(await all("user:[02]3")).toEqual(["user:03", "user:23"]);
      expect(await all("*[^0-9]")).toEqual(["user*", "usher"]);
      expect(await all("user\\*")).toEqual(["user*"]);
      expect(await all("ü*")).toEqual(["ü:1"]);
      expect(await all("nothing*")).toEqual([]);
      await expect(dev.scan("")).rejects.toMatchObject({ code: "INVALID_FILTER" });
      await expect(dev.scan("*", { count: 0 })).rejects.toMatchObject({ code: "INVALID_LIMIT" });
      await expect(dev.scan("*", { cursor: "5" })).rejects.toMatchObject({
        code: "INVALID_PAGE_TOKEN",
      });
    });
  });

  describe("streams", () => {
    it("append, give ranges, and share entries in a group", async () => {
      const { streams } = newStore();
      const ids = [];
      for (let n = 0; n < 5; n++) ids.push(await streams.append("jobs", { n }));
      expect(await streams.range("jobs")).toEqual(ids.map((id, n) => ({ id, message: { n } })));
      expect(await streams.range("jobs", { startId: "0", endId: "+", count: 2 })).toHaveLength(2);
      expect(await streams.range("jobs", { reverse: true, count: 2 })).toMatchObject([
        { message: { n: 4 } },
        { message: { n: 3 } },
      ]);
      expect(await streams.range("jobs", { startId: ids[1], endId: ids[2] })).toHaveLength(2);
      const group = streams.group("workers", "worker-1");
      await group.ensure("jobs", { startId: "0" });
      await group.ensure("jobs");
      const first = await group.read("jobs", { count: 2 });
      const other = await streams.group("workers", "worker-2").read("jobs");
      expect([...first, ...other].map(({ message }) => message)).toEqual(
        ids.map((_, n) => ({ n })),
      );
      expect(await group.ack("jobs", [...first.map(({ id }) => id), "1-1"])).toBe(2);
      expect(await group.ack("jobs", other)).toBe(3);
      expect(await group.ack("jobs", other)).toBe(0);
      expect(await group.read("jobs")).toEqual([]);
      await streams.append("jobs", "trimmed", { maxLen: 1, approximate: true });
      expect(await streams.range("jobs")).toHaveLength(1);
    });

    it("wake a reader that waits, and a group of `$` sees what comes after", async () => {
      const { streams } = newStore();
      await streams.append("s", "before");
      const group = streams.group("g", "c");
      await group.ensure("s", { startId: "$" });
      const reading = group.read("s", { blockMs: 20_000 });
      await pause(50);
      const appendedAt = performance.now();
      await streams.append("s", "after");
      expect(await reading).toMatchObject([{ message: "after" }]);
      expect(performance.now() - appendedAt).toBeLessThan(5000);
    });

    it("give 10 entries to a read that asks for no number", async () => {
      const { streams } = newStore();
      const group = streams.group("g", "c");
      await group.ensure("s");
      for (let n = 0; n < 12; n++) await streams.append("s", n);
      expect(await group.read("s")).toHaveLength(10);
      await expect(group.read("s", { count: 0 })).rejects.toMatchObject({ code: "INVALID_LIMIT" });
    });

    it("refuse what cannot be", async () => {
      const { streams } = newStore();
      const refused = (call: Promise<unknown>, code: string) =>
        expect(call).rejects.toMatchObject({ code });
      await refused(streams.append("", 1), "INVALID_STREAM");
      await refused(streams.append("s", 1, { maxLength: 5 } as never), "INVALID_OPTIONS");
      await refused(
        streams.append("s", () => {}),
        "INVALID_VALUE",
      );
      await refused(streams.range("s", { startId: "x" }), "INVALID_ENTRY_ID");
      expect(() => streams.group("", "c")).toThrow(
        expect.objectContaining({ code: "INVALID_STREAM" }),
      );
      expect(() => streams.group("g", "")).toThrow(
        expect.objectContaining({ code: "INVALID_STREAM" }),
      );
      await refused(streams.group("g", "c").read("none"), "GROUP_NOT_FOUND");
      await refused(streams.group("g", "c").ack("none", "1-1" as never), "INVALID_BATCH");
    });
  });

  it("services and scopes have names of their own", async () => {
    const [one, other] = [newStore(`${place}:b`), newStore(place)];
    const stores = [
      one,
      other,
      other.scope("b", 1),
      other.scope("org", "a:ws:b"),
      other.scope("org", "a").scope("ws", "b"),
      other.scope("org", "a"),
      other.scope("org", "%3A"),
      other.scope("org", ":"),
      other.scope("org", "*"),
      other.scope("*", "a"),
      newStore(`*${place}`),
      newStore(`${place}*`),
    ] as Store[];
    const names = stores.map((store) => store.key("kv", "k"));
    expect(new Set(names).size).toBe(stores.length);
    for (const [i, store] of stores.entries()) {
      await store.kv.set("k", i);
      await store.counter.increment("k", i);
      await store.streams.append("k", i);
      expect(await store.claim.once("k", i)).toBe(true);
    }
    for (const [i, store] of stores.entries()) {
      expect(await store.kv.get("k")).toBe(i);
      expect(await store.counter.increment("k", 0)).toBe(i);
      expect((await store.streams.range("k")).map(({ message }) => message)).toEqual([i]);
      expect((await store.dev.scan("*")).keys).toEqual(["k"]);
    }
    const heard: [number, string, unknown][] = [];
    for (const [i, store] of stores.entries())
      await store.events.subscribe("**", ({ type, data }) => heard.push([i, type, data]));
    for (const [i, store] of stores.entries()) await store.events.publish("e" as string, i);
    await expect.poll(() => heard.length, { timeout: 15_000 }).toBe(stores.length);
    expect(heard.sort(([a], [b]) => a - b)).toEqual(stores.map((_, i) => [i, "e", i]));
  });

  it("methods can be taken out of their part", async () => {
    const { get, set } = newStore().kv;
    await set("k", 1);
    expect(await get("k")).toBe(1);
  });
});

describe("on a server", () => {
  it("a claim is released by exactly its value, also in digits that no number holds", async () => {
    const { claim } = builder("server").withService("exact").build();
    expect(await claim.once("large", { id: 9007199254740993n })).toBe(true);
    expect(await claim.release("large", { id: 9007199254740992n })).toBe(false);
    expect(await claim.release("large", { id: 9007199254740993n })).toBe(true);
  });

  it("is in the scope, so that it can be listed, exported and purged", async () => {
    const org = builder("server").withService("api").build().scope("organization", "org_123");
    await org.kv.set("theme", "dark");
    const scope = s.cortex.scope("organization", "org_123");
    expect(await scope.mutable.get("igniter:store:api:kv", "theme")).toBe("dark");
    expect(await scope.purge()).toMatchObject({ entries: 1 });
    expect(await org.kv.get("theme")).toBeNull();
  });

  it("is in the scope of the client that it was given", async () => {
    const within = CortexStore.create()
      .withClient(s.cortex.scope("region", "eu"))
      .withService("regional")
      .build();
    await within.kv.set("k", "eu");
    const tenant = builder("server").withService("regional").build();
    expect(await tenant.kv.get("k")).toBeNull();
    expect(await tenant.scope("region", "eu").kv.get("k")).toBe("eu");
  });

  it("a value, a claim, an entry and an event of a user are erased with the user", async () => {
    await s.cortex.users.create("user-1", {});
    const { kv, claim, batch, streams, events } = builder("server").withService("gdpr").build();
    await kv.set("mail", "a@b.example", { userId: "user-1" });
    await batch.set([{ key: "phone", value: "1", userId: "user-1" }]);
    await claim.once("signup", "a@b.example", { userId: "user-1" });
    await streams.append("log", "a@b.example", { userId: "user-1" });
    await events.publish("log", "a@b.example", { userId: "user-1" });
    await s.cortex.users.delete("user-1", { cascade: true });
    expect(await batch.get(["mail", "phone"])).toEqual([null, null]);
    expect(await claim.once("signup", "new")).toBe(true);
    expect(await streams.range("log")).toEqual([]);
  });

  it("an actor is a step of the path, and is recorded as who wrote", async () => {
    const store = CortexStore.create()
      .withClient(s.cortex)
      .withService("actors")
      .addScope("org")
      .addActor("agent")
      .build();
    const actor = store.scope("org", "o").actor("agent", "a-7");
    await actor.kv.set("k", 1);
    await store.actor("agent", "Zoë 7").kv.set("k", 2);
    const namespace = "igniter:store:actors:kv";
    const inOrg = s.cortex.scope("org", "o").scope("agent", "a-7");
    expect(await inOrg.mutable.getRecord(namespace, "k")).toMatchObject({
      value: 1,
      updatedBy: "agent:a-7",
    });
    const zoe = s.cortex.scope("agent", "Zoë 7");
    expect(await zoe.mutable.getRecord(namespace, "k")).toMatchObject({
      value: 2,
      updatedBy: "agent:Zo%C3%AB%207",
    });
    expect(actor.key("kv", "k")).toBe("igniter:store:actors:org:o:agent:a-7:kv:k");
    await actor.streams.append("s", 1);
    expect((await inOrg.streams.range("igniter:store:actors:streams:s")).entries).toMatchObject([
      { appendedBy: "agent:a-7" },
    ]);
    const within = actor.scope("org", "inner");
    await within.kv.set("k", 3);
    expect(await inOrg.scope("org", "inner").mutable.getRecord(namespace, "k")).toMatchObject({
      updatedBy: "agent:a-7",
    });
    // As scopes: what one writes, another one does not see.
    expect(await store.scope("org", "o").kv.get("k")).toBeNull();
  });

  it("an actor whose id is no header is refused, and % is encoded", async () => {
    const store = CortexStore.create()
      .withClient(s.cortex)
      .withService("actors")
      .addActor("agent")
      .build();
    expect(() => store.actor("agent", "é".repeat(60))).toThrow(
      expect.objectContaining({
        code: "INVALID_SCOPE",
        details: expect.objectContaining({ field: "identifier" }),
      }),
    );
    await store.actor("agent", "a b").kv.set("k", 1);
    await store.actor("agent", "a%20b").kv.set("k", 1);
    const by = async (identifier: string) =>
      (await s.cortex.scope("agent", identifier).mutable.getRecord("igniter:store:actors:kv", "k"))
        ?.updatedBy;
    expect([await by("a b"), await by("a%20b")]).toEqual(["agent:a%20b", "agent:a%2520b"]);
    for (const id of ["", "x".repeat(257), "é"])
      expect(() => s.cortex.scope("a", "b").as(id)).toThrow(
        expect.objectContaining({ code: "INVALID_AGENT_ID" }),
      );
  });

  it("release does not end a claim that was taken anew meanwhile", async () => {
    const { claim } = builder("server").withService("release").build();
    const namespace = "igniter:store:release:claim";
    await claim.once("job", "mine");
    const { mutable } = s.cortex;
    // Between the read of the release and its delete, the claim ends and another caller takes it.
    const getRecord = vi.spyOn(Mutable.prototype, "getRecord").mockImplementationOnce(async () => {
      getRecord.mockRestore();
      const read = await mutable.getRecord(namespace, "job");
      await mutable.delete(namespace, "job");
      await claim.once("job", "other");
      return read;
    });
    expect(await claim.release("job", "mine")).toBe(false);
    expect(await mutable.get(namespace, "job")).toBe("other");
  });
});

describe("in an adapter", () => {
  it("has what the adapter has: claims need setNX, ranges xrange, and there are no users", async () => {
    const full: StoreAdapter = cortexStoreAdapter(s.cortex);
    const lean = new Proxy(full, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (/^(setNX|x)/.test(String(name))) return undefined;
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
    const store = CortexStore.create().withAdapter(lean).withService("lean").build();
    await store.kv.set("k", 1);
    const refused = (call: Promise<unknown>, field: string, code = "INVALID_CONFIG") =>
      expect(call).rejects.toMatchObject({ code, details: { field } });
    await refused(store.claim.once("k", 1), "adapter");
    await refused(store.streams.append("k", 1), "adapter");
    await refused(store.streams.range("k"), "adapter");
    await refused(store.streams.group("g", "c").ensure("k"), "adapter");
    await refused(store.kv.set("k", 1, { userId: "u" }), "userId", "INVALID_OPTIONS");
    await refused(store.events.publish("k", 1, { userId: "u" }), "userId", "INVALID_OPTIONS");
    expect(await store.kv.get("k")).toBe(1);
  });
});
