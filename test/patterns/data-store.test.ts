// DataStore: the plain surface that agents' tools use.
import { describe, expect, it } from "vitest";
import { DataStore } from "../../client/patterns/index.js";
import { serve } from "../support/server.js";

const s = serve();
let next = 0;
const fresh = (options = {}) => new DataStore(s.cortex, `space-${next++}`, options);

describe("DataStore", () => {
  it("reads, stores, deletes", async () => {
    const store = fresh();
    expect(await store.get("k")).toBe(null);
    expect(await store.get("k", 7)).toBe(7);
    await store.set("k", { a: 1 }, { metadata: { by: "me" }, ttlSeconds: 3600 });
    expect(await store.get("k", 7)).toEqual({ a: 1 });
    const record = await s.cortex.mutable.getRecord(store.namespace, "k");
    expect(record).toMatchObject({ metadata: { by: "me" }, expiresAt: expect.any(Date) });
    await store.set("null", null);
    expect(await store.get("null", 7)).toBe(null);
    expect(await store.exists("null")).toBe(true);
    expect([await store.delete("k"), await store.delete("k")]).toEqual([true, false]);
    expect(await store.exists("k")).toBe(false);
  });

  it("lists all keys, however many, and values in the order of the keys", async () => {
    const store = fresh();
    const keys = Array.from({ length: 2345 }, (_, i) => `k${String(i).padStart(5, "0")}`);
    for (let i = 0; i < keys.length; i += 1000)
      await store.setMany(Object.fromEntries(keys.slice(i, i + 1000).map((key) => [key, key])));
    expect(await store.listKeys()).toEqual(keys);
    expect(await store.listKeys("k0000")).toEqual(keys.slice(0, 10));
    expect(await store.getAll("k0000")).toEqual(
      Object.fromEntries(keys.slice(0, 10).map((key) => [key, key])),
    );
    const backwards = [...keys.toReversed(), "none"];
    expect(await store.getMany(backwards)).toEqual([...keys.toReversed(), null]);
    expect(await store.getMany([])).toEqual([]);
    expect(await store.listKeys("a%")).toEqual([]);
    expect(await store.clear()).toBe(2345);
    expect(await store.listKeys()).toEqual([]);
  });

  it("reads more values than a reply holds", async () => {
    const store = fresh();
    const large = "x".repeat(1_000_000);
    for (const key of ["a", "b", "c", "d", "e", "f"]) await store.set(key, large);
    const values = await store.getMany(["a", "b", "c", "d", "e", "f", "g"]);
    expect(values.map((value) => value?.length)).toEqual([...Array(6).fill(1_000_000), undefined]);
  });

  it("has namespaces", async () => {
    const store = fresh();
    const [one, two] = ["repo:x:main", "repo:y:main"].map((name) => store.useNamespace(name));
    await one?.set("commit", "abc");
    await two?.set("commit", "def");
    expect(await store.listNamespaces("repo:")).toEqual(["repo:x:main", "repo:y:main"]);
    expect(await store.listNamespaces()).toEqual(expect.arrayContaining(["repo:x:main"]));
    expect(await one?.get("commit")).toBe("abc");
  });

  it("updates, increments and appends without loss", async () => {
    const store = fresh();
    const times = Array.from({ length: 50 }, (_, i) => i);
    await Promise.all(
      times.flatMap((i) => [
        store.update<{ n: number }>("u", (value) => ({ n: value.n + 1 }), { n: 0 }),
        store.increment("n", 0.1),
        store.append("l", i),
        store.append("last", i, { maxLength: 5 }),
      ]),
    );
    expect(await store.get("u")).toEqual({ n: 50 });
    expect(await store.get("n")).toBe(5);
    expect((await store.get("l")).toSorted((a: number, b: number) => a - b)).toEqual(times);
    expect(await store.get("last")).toHaveLength(5);
    expect(await store.update<number | null>("v", (value) => (value ?? 10) + 1)).toBe(11);
    await expect(
      store.update("v", () => {
        throw new Error("mine");
      }),
    ).toFailWith("UPDATE_FAILED");
    await expect(store.update("v", 5 as unknown as () => 1)).toFailWith("INVALID_UPDATER");
  });

  it("does not share the fallback of an update", async () => {
    const store = fresh();
    const fallback: { items: number[] } = { items: [] };
    await store.update(
      "u",
      (value) => {
        value.items.push(1);
        return value;
      },
      fallback,
    );
    expect(fallback).toEqual({ items: [] });
  });

  it("refuses credentials in every write, if it is asked to", async () => {
    const store = fresh({ refuseCredentials: true });
    const key = "sk-0123456789abcdef";
    await expect(store.set("k", { key })).toFailWith("CREDENTIAL_REFUSED", { path: "value.key" });
    await expect(store.setMany({ a: 1, api_key: "x" })).toFailWith("CREDENTIAL_REFUSED");
    await expect(store.set("k", 1, { metadata: { key } })).toFailWith("CREDENTIAL_REFUSED", {
      path: "value.metadata.key",
    });
    await expect(store.append("l", key)).toFailWith("CREDENTIAL_REFUSED");
    await expect(store.append("l", key, { maxLength: 1 })).toFailWith("CREDENTIAL_REFUSED");
    await expect(store.update("u", () => key)).toFailWith("CREDENTIAL_REFUSED");
    await expect(store.update("u", async () => key)).toFailWith("CREDENTIAL_REFUSED");
    await expect(store.useNamespace("other").set("password", "x")).toFailWith("CREDENTIAL_REFUSED");
    expect(await store.listKeys()).toEqual([]);
    await fresh().set("k", { key });
  });

  it("refuses bad input with the path", async () => {
    const store = fresh();
    await expect(store.set("k", new Uint8Array(3))).toFailWith("INVALID_VALUE", { path: "value" });
    await expect(store.set("k", 1, { ttlSeconds: 0 })).toFailWith("INVALID_TTL");
    await expect(store.getMany("k" as unknown as string[])).toFailWith("INVALID_BATCH");
    await expect(store.set("", 1)).toFailWith("INVALID_KEY");
  });
});
