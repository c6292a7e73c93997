// The patterns: what they give, their limits, and how they refuse bad input.
import { describe, expect, it } from "vitest";
import { ExactNumber } from "../../client/index.js";
import {
  addToStatistics,
  appendBounded,
  batchResults,
  cacheAside,
  childNames,
  count,
  discoverNamespaces,
  getBinary,
  getReference,
  indexDocument,
  invalidate,
  joinName,
  keywordsOf,
  prefixName,
  processBatch,
  putBinary,
  putReference,
  refuseCredentials,
  removeDocument,
  searchIndex,
  splitName,
  stateOf,
  transition,
  transitionsOf,
  withLock,
  writeThrough,
} from "../../client/patterns/index.js";
import { serve } from "../support/server.js";

const s = serve();
const code = (expected: string, details = {}) =>
  expect.objectContaining({ code: expected, details: expect.objectContaining(details) });

describe("cacheAside", () => {
  const times = { ttlSeconds: 3600 };

  it("computes once, and then gives what is cached", async () => {
    const compute = () => ({ body: "b" });
    const value = { body: "b" };
    expect(await cacheAside(s.cortex, "c1", "k", compute, times)).toEqual({
      value,
      source: "computed",
    });
    expect(
      await cacheAside(s.cortex, "c1", "k", () => expect.unreachable("cached"), times),
    ).toEqual({ value, source: "cache" });
    expect(await s.cortex.mutable.get("c1", "k")).toEqual(value); // as a plain entry
  });

  it("lets one of many callers compute, and the others wait", async () => {
    let computed = 0;
    const results = await Promise.all(
      Array.from({ length: 20 }, () =>
        cacheAside(s.client(), "c2", "k", async () => ++computed, times),
      ),
    );
    expect(computed).toBe(1);
    expect(results.map(({ value }) => value)).toEqual(Array(20).fill(1));
    expect(results.filter(({ source }) => source === "computed")).toHaveLength(1);
  });

  it("caches null and undefined, for a time of their own", async () => {
    const options = { ttlSeconds: 3600, missTtlSeconds: 60 };
    const none = () => undefined;
    expect(await cacheAside<unknown>(s.cortex, "c3", "k", none, options)).toEqual({
      value: null,
      source: "computed",
    });
    const hit = await cacheAside(s.cortex, "c3", "k", () => expect.unreachable("cached"), options);
    expect(hit).toEqual({ value: null, source: "cache" });
    const record = await s.cortex.mutable.getRecord("c3", "k");
    const lasts = Number(record?.expiresAt) - Number(record?.updatedAt);
    expect(lasts).toBe(60_000);
  });

  it("gives the old value while another computes the next one", async () => {
    const options = { ttlSeconds: 3600, staleSeconds: 60 };
    await cacheAside(s.cortex, "c4", "k", () => "old", options);
    await s.cortex.mutable.delete("c4", "k"); // as if its time were over
    let finish = () => {};
    const computing = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let begin = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const next = cacheAside(
      s.cortex,
      "c4",
      "k",
      async () => {
        begin();
        await computing;
        return "new";
      },
      options,
    );
    await begun;
    const other = await cacheAside(s.client(), "c4", "k", () => "never", options);
    expect(other).toEqual({ value: "old", source: "stale" });
    finish();
    expect(await next).toEqual({ value: "new", source: "computed" });
  });

  it("says so if the value was not computed in time", async () => {
    await s.cortex.claims.acquire("cache:c5:k", { ttlSeconds: 60 });
    await expect(
      cacheAside(s.cortex, "c5", "k", () => 1, { ttlSeconds: 60, waitMs: 100 }),
    ).rejects.toEqual(code("CLAIM_NOT_HELD", { claim: "cache:c5:k" }));
  });

  it("does not store what was computed too late: another has computed it since", async () => {
    const late = await cacheAside(
      s.cortex,
      "c6",
      "k",
      async () => {
        const claim = await s.cortex.claims.get("cache:c6:k");
        await s.cortex.claims.release(claim ?? { name: "", fence: "" });
        await writeThrough(s.cortex, "c6", "k", "newer", times);
        return "older";
      },
      times,
    );
    expect(late).toEqual({ value: "older", source: "computed" });
    expect(await s.cortex.mutable.get("c6", "k")).toBe("newer");
  });

  it("throws what compute throws, and lets the next caller compute", async () => {
    const fail = () => {
      throw new Error("no such page");
    };
    await expect(cacheAside(s.cortex, "c7", "k", fail, times)).rejects.toThrow("no such page");
    expect((await cacheAside(s.cortex, "c7", "k", () => 2, times)).value).toBe(2);
  });

  it("takes keys that are too long for the name of a claim", async () => {
    const key = "k".repeat(1024);
    expect((await cacheAside(s.cortex, "c8", key, () => 1, times)).value).toBe(1);
  });

  it("removes a value, also the old one", async () => {
    await writeThrough(s.cortex, "c9", "k", 1, { ttlSeconds: 60, staleSeconds: 60 });
    expect(await invalidate(s.cortex, "c9", "k")).toBe(true);
    expect(await invalidate(s.cortex, "c9", "k")).toBe(false);
    const again = await cacheAside(s.cortex, "c9", "k", () => 2, {
      ttlSeconds: 60,
      staleSeconds: 60,
    });
    expect(again).toEqual({ value: 2, source: "computed" });
  });

  it.each([
    [{ ttlSeconds: 0 }, "ttlSeconds"],
    [{ ttlSeconds: "1" as unknown as number }, "ttlSeconds"],
    [{ ttlSeconds: 1, staleSeconds: -1 }, "staleSeconds"],
    [{ ttlSeconds: 1, missTtlSeconds: Number.NaN }, "missTtlSeconds"],
  ])("refuses %j", async (options, field) => {
    await expect(cacheAside(s.cortex, "c10", "k", () => 1, options)).rejects.toEqual(
      expect.objectContaining({
        details: expect.objectContaining({ field: expect.stringContaining(field) }),
      }),
    );
  });
});

describe("count, appendBounded, addToStatistics", () => {
  it("counts, exactly and once under an id", async () => {
    expect(await count(s.cortex, "a", "n")).toBe(1);
    expect(await count(s.cortex, "a", "n", 0.1)).toBe(1.1);
    expect(await count(s.cortex, "a", "n", "0.2", { id: "one" })).toBe(1.3);
    expect(await count(s.cortex, "a", "n", "0.2", { id: "one" })).toBe(1.3);
    expect(await count(s.cortex, "a", "n", -1)).toBe(0.3);
  });

  it("keeps the last elements of a list", async () => {
    for (let i = 0; i < 5; i++)
      await appendBounded(s.cortex, "a", "l", i, { maxLength: 3, id: `l-${i}` });
    const list = await appendBounded(s.cortex, "a", "l", 4, { maxLength: 3, id: "l-4" });
    expect(list).toEqual([2, 3, 4]);
    expect(await appendBounded(s.cortex, "a", "l", 5, { maxLength: 1 })).toEqual([5]);
  });

  it("says so if a key was deleted after an id was done", async () => {
    await appendBounded(s.cortex, "a", "gone", 1, { maxLength: 3, id: "gone" });
    await s.cortex.mutable.delete("a", "gone");
    await expect(
      appendBounded(s.cortex, "a", "gone", 1, { maxLength: 3, id: "gone" }),
    ).rejects.toEqual(code("KEY_NOT_FOUND", { key: "gone" }));
  });

  it("takes the same id for another key, and keys that are too long to be joined with it", async () => {
    for (const key of ["one", "two", "k".repeat(1024)])
      for (let i = 0; i < 2; i++) {
        const list = await appendBounded(s.cortex, "a9", key, 1, { maxLength: 5, id: "same" });
        expect(list).toEqual([1]);
      }
  });

  it("counts an id for each counter", async () => {
    const counts = [];
    for (const key of ["one", "two", "one"])
      counts.push(await count(s.cortex, "a11", key, 1, { id: "job-7" }));
    expect(counts).toEqual([1, 1, 1]);
    await expect(count(s.cortex, "a11", "one", 2, { id: "job-7" })).rejects.toThrow(
      code("REQUEST_ID_REUSED"),
    );
  });

  it("have ids of their own in each scope", async () => {
    for (const name of ["x", "y", "x"]) {
      const scope = s.cortex.scope("team", name);
      expect(await count(scope, "a12", "n", 1, { id: "job-7" })).toBe(1);
      const options = { maxLength: 5, id: "job-7" };
      expect(await appendBounded(scope, "a12", "l", 1, options)).toEqual([1]);
    }
    for (const id of ["", 5, "\ud800"] as string[]) {
      const refusal = code("INVALID_REQUEST_ID", { field: "id" });
      await expect(count(s.cortex, "a12", "n", 1, { id })).rejects.toThrow(refusal);
      await expect(appendBounded(s.cortex, "a12", "l", 1, { maxLength: 5, id })).rejects.toThrow(
        refusal,
      );
    }
    await expect(count(s.cortex, "a12", "", 1, { id: "job-7" })).rejects.toThrow(
      code("INVALID_KEY", { field: "key" }),
    );
  });

  it("refuses a bound that is none, and what is no list", async () => {
    for (const maxLength of [0, -1, 1.5, Number.NaN])
      await expect(appendBounded(s.cortex, "a", "l", 1, { maxLength })).rejects.toEqual(
        code("INVALID_LIMIT", { field: "maxLength" }),
      );
    await s.cortex.mutable.set("a", "text", "t");
    for (const id of [undefined, "x"])
      await expect(appendBounded(s.cortex, "a", "text", 1, { maxLength: 1, id })).rejects.toEqual(
        code("VALUE_NOT_ARRAY"),
      );
  });

  it("gives a minimum of 0, and exact decimals", async () => {
    await addToStatistics(s.cortex, "a", "zero", 0);
    expect(await addToStatistics(s.cortex, "a", "zero", 5)).toEqual({
      count: 2,
      sum: 5,
      min: 0,
      max: 5,
      mean: 2.5,
      variance: 6.25,
    });
    for (let i = 0; i < 10; i++) await addToStatistics(s.cortex, "a", "tenths", 0.1);
    const tenths = await addToStatistics(s.cortex, "a", "tenths", "-0.10");
    expect(tenths).toMatchObject({ count: 11, sum: 0.9, min: -0.1, max: 0.1 });
  });

  it("does not lose the variance of large values that are close together", async () => {
    for (const value of ["1000000000.1", "1000000000.2", "1000000000.3"])
      await addToStatistics(s.cortex, "a", "close", value);
    const { variance, mean, sum } = await addToStatistics(s.cortex, "a", "close", "1000000000.4");
    expect([variance, mean, sum]).toEqual([0.0125, 1000000000.25, 4000000001]);
  });

  it("keeps digits that no number holds, and bigints", async () => {
    const exact = s.client({ exactNumbers: true });
    for (const client of [s.cortex, exact])
      await addToStatistics(client, "a", "long", "0.1234567890123456789");
    const long = await addToStatistics(exact, "a", "long", 0);
    expect(long.sum).toEqual(new ExactNumber("0.2469135780246913578"));
    const big = await addToStatistics(s.cortex, "a", "big", 2n ** 70n);
    expect(big.sum).toBe(2n ** 70n);
  });

  it("takes numbers of 100 digits and below 1e150, and refuses longer and larger ones", async () => {
    const longest = `0.${"1234567890".repeat(10)}`;
    for (const value of [longest, `-${longest}`, `${"9".repeat(100)}e49`, "1e-150"])
      await addToStatistics(s.cortex, "a10", value.slice(0, 30), value);
    for (const value of [`${longest}1`, "1e150", "-1e150", "1e-151", 1e300])
      await expect(addToStatistics(s.cortex, "a10", "bad", value)).rejects.toThrow(
        code("INVALID_AMOUNT", { field: "value" }),
      );
    expect(await s.cortex.mutable.get("a10", "bad")).toBeNull();
  });

  it("refuses what is no number, and what are no statistics", async () => {
    for (const value of ["ten", "", "1e99999", Number.NaN, {} as unknown as number])
      await expect(addToStatistics(s.cortex, "a", "bad", value)).rejects.toEqual(
        code("INVALID_AMOUNT"),
      );
    await s.cortex.mutable.set("a", "other", { count: 1 });
    await expect(addToStatistics(s.cortex, "a", "other", 1)).rejects.toEqual(
      code("INVALID_DATA", { field: "sum" }),
    );
  });
});

describe("names", () => {
  it("joins and splits parts, and keeps different parts apart", () => {
    expect(joinName("project", "7", "files", "main.py")).toBe("project:7:files:main.py");
    expect(joinName("a:b", "c")).not.toBe(joinName("a", "b:c"));
    for (const parts of [["a:b", "%3A", "100%"], ["é"], ["%25:"]])
      expect(splitName(joinName(...parts))).toEqual(parts);
    expect(prefixName("repo", "x")).toBe("repo:x:");
    expect(() => joinName("a", "")).toThrow("parts[1] is empty");
    expect(() => joinName()).toThrow("is empty: give at least one part");
  });

  it("finds the names below, and namespaces", async () => {
    for (const parts of [
      ["project", "7", "config"],
      ["project", "7", "files", "a:1"],
      ["project", "7", "files", "b"],
      ["project", "70", "config"],
    ])
      await s.cortex.mutable.set("tree", joinName(...parts), 1);
    expect(await childNames(s.cortex, "tree", "project", "7")).toEqual(["config", "files"]);
    expect(await childNames(s.cortex, "tree", "project", "7", "files")).toEqual(["a:1", "b"]);
    expect(await childNames(s.cortex, "tree")).toEqual(["project"]);
    await s.cortex.mutable.setMany("repo:x:main", { a: 1, b: 2, c: 3 });
    expect(await discoverNamespaces(s.cortex, "repo:", { sample: 2 })).toEqual([
      { namespace: "repo:x:main", keyCount: 3, keys: ["a", "b"] },
    ]);
    expect((await discoverNamespaces(s.cortex, "repo:", { sample: 0 }))[0]?.keys).toEqual([]);
  });
});

describe("state machine", () => {
  const jobs = {
    name: "job-states",
    initial: "pending",
    transitions: { pending: ["running"], running: ["done", "failed"] },
  } as const;

  it("goes where it may, and records each step", async () => {
    expect(await stateOf(s.cortex, jobs, "j1")).toEqual({ state: "pending", data: null, step: 0 });
    await transition(s.cortex, jobs, "j1", "running", { data: { worker: "w" } });
    const done = await transition(s.cortex, jobs, "j1", "done", { from: "running" });
    expect(done).toEqual({ state: "done", data: { worker: "w" }, step: 2 });
    expect(await stateOf(s.cortex, jobs, "j1")).toEqual(done);
    const history = await transitionsOf(s.cortex, jobs, "j1");
    expect(history.map(({ data }) => [data.from, data.to, data.step])).toEqual([
      ["pending", "running", 1],
      ["running", "done", 2],
    ]);
  });

  it("refuses what is not allowed, and records nothing", async () => {
    await expect(transition(s.cortex, jobs, "j2", "done" as "running")).rejects.toEqual(
      code("TRANSITION_NOT_ALLOWED", { from: "pending", to: "done", allowed: "running" }),
    );
    await transition(s.cortex, jobs, "j2", "running");
    await transition(s.cortex, jobs, "j2", "failed");
    await expect(transition(s.cortex, jobs, "j2", "running")).rejects.toThrow("it is final");
    await expect(transition(s.cortex, jobs, "j3", "running", { from: ["done"] })).rejects.toEqual(
      code("TRANSITION_NOT_ALLOWED"),
    );
    expect(await transitionsOf(s.cortex, jobs, "j2")).toHaveLength(2);
    expect(await transitionsOf(s.cortex, jobs, "j3")).toEqual([]);
  });

  it("takes a claim, and refuses a stale one", async () => {
    const claim = { name: "job-lock", fence: "1" };
    await expect(transition(s.cortex, jobs, "j4", "running", { claim })).rejects.toEqual(
      code("FENCE_STALE"),
    );
    expect((await stateOf(s.cortex, jobs, "j4")).step).toBe(0);
  });
});

it("stateOf and transition refuse a key that holds something else", async () => {
  const machine = { name: "m9", initial: "a", transitions: { a: ["b"] } };
  for (const value of ["text", { state: 5, step: 1 }, [1]]) {
    await s.cortex.mutable.set("m9", "k", value);
    const refusal = code("INVALID_DATA", { field: "id" });
    await expect(stateOf(s.cortex, machine, "k")).rejects.toThrow(refusal);
    await expect(transition(s.cortex, machine, "k", "b")).rejects.toThrow(refusal);
  }
});

it("patterns throw what was refused within their transaction", async () => {
  const index = { documents: "docs", index: "words" };
  const machine = { name: "m12", initial: "a", transitions: { a: ["b"] } };
  const cortex = s.client({ tenantId: "refused" });
  for (const [value, reason] of [
    ["x".repeat(1_100_000), "VALUE_TOO_LARGE"],
    [Number.NaN, "INVALID_VALUE"],
  ] as const)
    for (const call of [
      () => appendBounded(cortex, "p", "l", value, { maxLength: 1, id: "x" }),
      () => indexDocument(cortex, index, "d", value, { w: 1 }),
      () => writeThrough(cortex, "p", "c", value, { ttlSeconds: 5 }),
      () => processBatch(cortex, "p", "b", [1], () => value),
      () => transition(cortex, machine, "k", "b", { data: value }),
    ])
      await expect(call()).rejects.toThrow(code(reason));
  expect(await cortex.mutable.listNamespaces()).toEqual([]);
});

it("states may have any name", async () => {
  const machine = { name: "m11", initial: "a", transitions: { a: ["constructor"] } };
  await transition(s.cortex, machine, "k", "constructor");
  await expect(transition(s.cortex, machine, "k", "a")).rejects.toThrow(
    "k cannot go from constructor to a: it is final",
  );
});

it("transition refuses next states that are no list, and says what the caller wanted", async () => {
  const machine = { name: "m10", initial: "a", transitions: { a: "bc" as never, b: ["c"] } };
  await expect(transition(s.cortex, machine, "k", "b")).rejects.toThrow(
    code("INVALID_OPTIONS", { field: "transitions" }),
  );
  const right = { ...machine, transitions: { a: ["b"], b: ["c"] } };
  await expect(transition(s.cortex, right, "k", "b", { from: "b" })).rejects.toThrow(
    "k cannot go from a to b: the caller wants it from b",
  );
});

describe("processBatch", () => {
  it("does not mix up the results of batches whose keys begin alike", async () => {
    await processBatch(s.cortex, "b9", "x", ["one"], (item) => item);
    await processBatch(s.cortex, "b9", "x:1", ["other"], (item) => item);
    const results = [];
    for await (const result of batchResults(s.cortex, "b9", "x")) results.push(result);
    expect(results).toEqual(["one"]);
  });

  it("refuses what is no function", async () => {
    await expect(processBatch(s.cortex, "b9", "z", [1], 5 as never)).rejects.toThrow(
      code("INVALID_OPTIONS", { field: "work" }),
    );
    await expect(cacheAside(s.cortex, "b9", "z", 5 as never, { ttlSeconds: 1 })).rejects.toThrow(
      code("INVALID_OPTIONS", { field: "compute" }),
    );
  });

  it("refuses what is no list, and a key that holds something else", async () => {
    await expect(processBatch(s.cortex, "b9", "y", null as never, (item) => item)).rejects.toThrow(
      code("INVALID_BATCH", { field: "items" }),
    );
    await expect(
      processBatch(s.cortex, "b9", "y", new Set([1]) as never, (item) => item),
    ).rejects.toThrow(code("INVALID_BATCH", { field: "items" }));
    await s.cortex.mutable.set("b9", "y", "text");
    await expect(processBatch(s.cortex, "b9", "y", [1], (item) => item)).rejects.toThrow(
      code("INVALID_DATA", { field: "key" }),
    );
  });

  it("works on batchSize items a call, and goes on after an error", async () => {
    const items = [1, 2, 3, 4, 5];
    const seen: number[] = [];
    let fails = true;
    const work = (item: number) => {
      if (item === 3 && fails) throw new Error("item 3");
      seen.push(item);
      return item * 10;
    };
    const batch = () => processBatch(s.cortex, "b", "run", items, work, { batchSize: 2 });
    expect(await batch()).toEqual({ processed: 2, total: 5, complete: false, results: [10, 20] });
    await expect(batch()).rejects.toThrow("item 3");
    fails = false;
    expect((await batch()).results).toEqual([30, 40]);
    expect(await batch()).toEqual({ processed: 5, total: 5, complete: true, results: [50] });
    expect(await batch()).toEqual({ processed: 5, total: 5, complete: true, results: [] });
    expect(seen).toEqual(items);
    const results = [];
    for await (const result of batchResults(s.cortex, "b", "run")) results.push(result);
    expect(results).toEqual([10, 20, 30, 40, 50]);
  });

  it("takes no items, and refuses another list, a bad size, and a second process", async () => {
    expect(await processBatch(s.cortex, "b", "none", [], () => 1)).toMatchObject({
      complete: true,
      processed: 0,
    });
    await processBatch(s.cortex, "b", "other", [1], () => 1);
    await expect(processBatch(s.cortex, "b", "other", [1, 2], () => 1)).rejects.toEqual(
      code("INVALID_BATCH", { field: "items" }),
    );
    for (const batchSize of [0, 1.5, -1])
      await expect(
        processBatch(s.cortex, "b", "size", [1], () => 1, { batchSize }),
      ).rejects.toEqual(code("INVALID_BATCH", { field: "batchSize" }));
    await s.cortex.claims.acquire("batch:b:busy", { ttlSeconds: 60 });
    await expect(processBatch(s.cortex, "b", "busy", [1], () => 1)).rejects.toEqual(
      code("CLAIM_NOT_HELD"),
    );
  });
});

describe("withLock", () => {
  it("gives what the function returns, and says who holds it", async () => {
    const inner = () => withLock(s.cortex, "r", () => 1);
    await withLock(
      s.cortex,
      "r",
      async (lock) => {
        expect(lock.name).toBe("lock:r");
        await expect(inner()).rejects.toEqual(code("CLAIM_NOT_HELD", { owner: "agent-7" }));
      },
      { owner: "agent-7" },
    );
    expect(await inner()).toBe(1);
    expect(await withLock(s.cortex, "r", () => null)).toBe(null);
  });
});

describe("keyword index", () => {
  const index = { documents: "docs", index: "words" };
  const search = async (query: string, limit?: number) =>
    (await searchIndex(s.cortex, index, query, { limit })).map(({ id }) => id);

  it("finds words of a text", () => {
    expect(keywordsOf("The café's CAFÉ: a b 日本語 x1, café!")).toEqual({
      café: 3,
      the: 1,
      日本語: 1,
      x1: 1,
    });
    expect(keywordsOf("")).toEqual({});
  });

  it("leaves out words that a key has no room for", () => {
    expect(keywordsOf(`${"a".repeat(101)} ${"b".repeat(100)}`)).toEqual({ ["b".repeat(100)]: 1 });
  });

  it("reads documents that are null or large", async () => {
    const names = { documents: "d10", index: "i10" };
    await indexDocument(s.cortex, names, "none", null, { word: 9 });
    const large = { text: "x".repeat(900_000) };
    for (let i = 0; i < 6; i++) await indexDocument(s.cortex, names, `d${i}`, large, { word: 1 });
    const ids = async () => (await searchIndex(s.cortex, names, "word")).map(({ id }) => id);
    expect(await ids()).toEqual(["none", "d0", "d1", "d2", "d3", "d4", "d5"]);
    await s.cortex.mutable.delete("d10", "d0");
    expect(await ids()).toHaveLength(6);
  });

  it("finds keywords whatever their case", async () => {
    const names = { documents: "d9", index: "i9" };
    await indexDocument(s.cortex, names, "d", { title: "R" }, { Refund: 2, refund: 1 });
    const found = await searchIndex(s.cortex, names, "REFUND");
    expect(found.map(({ id, score }) => [id, score])).toEqual([["d", 3]]);
  });

  it("ranks, follows changes of a document, and removes it", async () => {
    await indexDocument(s.cortex, index, "a", { t: "a" }, { refund: 1, policy: 1 });
    await indexDocument(s.cortex, index, "b:1", { t: "b" }, { refund: 5 });
    await indexDocument(s.cortex, index, "c", { t: "c" }, { refund: 1 });
    expect(await search("Refund policy")).toEqual(["a", "b:1", "c"]);
    expect(await search("refund", 2)).toEqual(["b:1", "a"]);
    expect(await search("ref")).toEqual([]);
    const [best] = await searchIndex(s.cortex, index, "policy refund");
    expect(best).toEqual({ id: "a", document: { t: "a" }, score: 2, matched: 2 });
    await indexDocument(s.cortex, index, "a", { t: "a2" }, { policy: 2 });
    expect(await search("refund")).toEqual(["b:1", "c"]);
    expect(await removeDocument(s.cortex, index, "b:1")).toBe(true);
    expect(await removeDocument(s.cortex, index, "b:1")).toBe(false);
    expect(await search("refund")).toEqual(["c"]);
    expect(await s.cortex.mutable.exists("docs", "b:1")).toBe(false);
    await indexDocument(s.cortex, index, "d", {}, {});
    expect(await removeDocument(s.cortex, index, "d")).toBe(true);
  });

  it("takes 200 keywords, and refuses more and bad ones", async () => {
    const many = (n: number) =>
      Object.fromEntries(Array.from({ length: n }, (_, i) => [`w${i}`, 1]));
    await indexDocument(s.cortex, index, "many", {}, many(200));
    const others = Object.fromEntries(Object.keys(many(200)).map((word) => [`${word}x`, 1]));
    await indexDocument(s.cortex, index, "many", {}, others);
    expect(await search("w7x")).toEqual(["many"]);
    for (const words of [many(201), { "": 1 }, { a: 0 }, { a: Number.NaN }])
      await expect(indexDocument(s.cortex, index, "bad", {}, words)).rejects.toEqual(
        code("INVALID_BATCH", { field: "keywords" }),
      );
    await expect(searchIndex(s.cortex, index, "a", { limit: 0 })).rejects.toEqual(
      code("INVALID_LIMIT"),
    );
  });
});

describe("binary data", () => {
  it("comes back as it was", async () => {
    const bytes = Buffer.from([0, 255, 128, 10]);
    await putBinary(s.cortex, "bin", "k", bytes, "image/png");
    expect(await getBinary(s.cortex, "bin", "k")).toEqual({ bytes, mimeType: "image/png" });
    expect(await s.cortex.mutable.get("bin", "k")).toMatchObject({
      data: bytes.toString("base64"),
      mime_type: "image/png",
      size: 4,
    });
    expect(await getBinary(s.cortex, "bin", "none")).toBe(null);
  });

  it("is refused above the limit, when it is damaged, and when it is something else", async () => {
    const half = 512 * 1024;
    await putBinary(s.cortex, "bin", "max", Buffer.alloc(half), "x/y");
    await expect(putBinary(s.cortex, "bin", "more", Buffer.alloc(half + 1), "x/y")).rejects.toEqual(
      code("VALUE_TOO_LARGE", { limit: `${half}`, got: `${half + 1}` }),
    );
    await expect(
      putBinary(s.cortex, "bin", "text", "text" as unknown as Uint8Array, "x/y"),
    ).rejects.toEqual(code("INVALID_VALUE"));
    await s.cortex.mutable.merge("bin", "max", { data: "AAAA" });
    await expect(getBinary(s.cortex, "bin", "max")).rejects.toThrow("damaged");
    await s.cortex.mutable.set("bin", "other", [1]);
    await expect(getBinary(s.cortex, "bin", "other")).rejects.toEqual(code("INVALID_VALUE"));
  });

  it("can be a reference", async () => {
    const reference = {
      url: "s3://bucket/key",
      mimeType: "video/mp4",
      size: 2 ** 33,
      sha256: "ab".repeat(32),
    };
    await putReference(s.cortex, "bin", "ref", reference);
    expect(await getReference(s.cortex, "bin", "ref")).toEqual(reference);
    await expect(getBinary(s.cortex, "bin", "ref")).rejects.toEqual(code("INVALID_VALUE"));
    expect(await getReference(s.cortex, "bin", "none")).toBe(null);
    for (const bad of [{ size: -1 }, { sha256: "short" }])
      await expect(putReference(s.cortex, "bin", "ref", { ...reference, ...bad })).rejects.toEqual(
        code("INVALID_VALUE"),
      );
  });
});

describe("refuseCredentials", () => {
  it.each([
    ["sk-secret-key", "api_key", "value"],
    [{ env: { OPENAI: "sk-proj-0123456789abcdef" } }, "", "value.env.OPENAI"],
    [["ghp_0123456789abcdefghij0123456789abcdef"], "", "value[0]"],
    ["AKIAIOSFODNN7EXAMPLE", "", "value"],
    [{ clientSecret: "hunter2" }, "", "value.clientSecret"],
    [{ "db-password": "x" }, "", "value.db-password"],
    ["postgres://user:pass@host/db", "", "value"],
    ["-----BEGIN RSA PRIVATE KEY-----\nabc", "", "value"],
    ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", "", "value"],
    ["anything", "password", "value"],
  ])("refuses %j under %j", (value, name, path) => {
    expect(() => refuseCredentials(value, name)).toThrow(
      expect.objectContaining({
        code: "CREDENTIAL_REFUSED",
        details: expect.objectContaining({ path }),
      }),
    );
  });

  it("looks at every depth", () => {
    let deep: unknown = { api_key: "x" };
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(() => refuseCredentials(deep)).toThrow(code("CREDENTIAL_REFUSED"));
  });

  it.each([
    [{ password: null, token_count: 7, secret: "" }, ""],
    ["the task-sk ran; ask-me-anything-today", "note"],
    [{ passwordResetAt: "2026-01-01", secretary: "Ann" }, ""],
    ["https://example.com/a:b@c", "url"],
    ["disk-space-is-low", ""],
  ])("lets %j pass", (value, name) => {
    refuseCredentials(value, name);
  });
});
