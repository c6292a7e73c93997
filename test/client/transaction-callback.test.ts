// Tests what the callback of a transaction can do, and what transaction() returns to its caller.
import fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { TransactionResult } from "../../client/index.js";
import { changed } from "../../client/mutable/transactions/changes.js";
import { serve } from "../support/server.js";

const s = serve();

describe("the caller of a transaction gets", () => {
  it("the results where the callback returns nothing", async () => {
    const result = await s.cortex.mutable.transaction((tx) => {
      tx.set("outcome", "k", 1);
    });
    expectTypeOf(result).toEqualTypeOf<TransactionResult>();
    expect(result).toMatchObject({ success: true, operationsExecuted: 1, results: [{ value: 1 }] });
  });

  it("the value where it returns one, whatever it is", async () => {
    const { mutable } = s.cortex;
    const number = await mutable.transaction((tx) => {
      tx.set("outcome", "k", 2);
      return 7;
    });
    expectTypeOf(number).toEqualTypeOf<number>();
    expect(number).toBe(7);
    for (const value of [null, false, 0, "", [], { a: 1 }])
      expect(await mutable.transaction(async () => value)).toEqual(value);
    expect(await mutable.transaction((tx) => tx.get<number>("outcome", "k"))).toBe(2);
  });

  it("both with withResults", async () => {
    const both = await s.cortex.mutable.transaction(
      (tx) => {
        tx.increment("outcome", "counter", 5, { createIfMissing: true });
        return tx.get<number>("outcome", "counter");
      },
      { withResults: true },
    );
    expectTypeOf(both).toEqualTypeOf<TransactionResult & { value: number | null }>();
    expect(both).toMatchObject({ success: true, operationsExecuted: 1, value: 5 });
    expect(both.results).toMatchObject([{ key: "counter", value: 5 }]);
  });

  it("the value of the run that was committed, also under locks", async () => {
    const { mutable } = s.cortex;
    await mutable.set("outcome", "seat", 0);
    const seats = await Promise.all(
      Array.from({ length: 20 }, () =>
        s.client().mutable.transaction(
          (tx) => {
            const seat = tx.get<number>("outcome", "seat") ?? 0;
            tx.set("outcome", "seat", seat + 1);
            return seat;
          },
          { maxAttempts: 100 },
        ),
      ),
    );
    expect(seats.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it("INVALID_OPTIONS for a withResults that is no boolean", async () => {
    const work = s.cortex.mutable.transaction(() => {}, { withResults: 1 as never });
    await expect(work).toFailWith("INVALID_OPTIONS");
  });
});

describe("a callback", () => {
  it("changes values in the database without reading them, so that others do not conflict", async () => {
    const { mutable } = s.cortex;
    await mutable.setMany("blind", { n: 0, list: [], object: { a: 1 } });
    let runs = 0;
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        mutable.transaction((tx) => {
          runs++;
          tx.increment("blind", "n", 2);
          tx.decrement("blind", "n");
          tx.append("blind", "list", i);
          tx.merge("blind", "object", { [`k${i}`]: i });
        }),
      ),
    );
    expect(runs).toBe(30);
    const [n, list, object] = await mutable.getMany("blind", ["n", "list", "object"]);
    expect(n).toBe(30);
    expect(new Set(list)).toEqual(new Set(Array.from({ length: 30 }, (_, i) => i)));
    expect(Object.keys(object)).toHaveLength(31);
  });

  it("sees its own changes, before and after it has read the key", async () => {
    const { mutable } = s.cortex;
    await mutable.set("own", "null", null);
    await mutable.transaction((tx) => {
      tx.increment("own", "null", 3);
      expect(tx.get("own", "null")).toBe(3);
    });
    expect(await mutable.get("own", "null")).toBe(3);
    await mutable.setMany("own", { n: 0.1, list: [1], object: { a: { b: 1, c: 2 } } });
    const seen = await mutable.transaction((tx) => {
      tx.increment("own", "n", 0.2);
      const first = tx.get("own", "n");
      tx.increment("own", "n", "1e2");
      tx.append("own", "list", 2);
      tx.merge("own", "object", { a: { b: null, d: 3 } });
      tx.append("own", "new", "x", { createIfMissing: true });
      tx.update<string[]>("own", "new", (list) => [...list, "y"]);
      return [first, ...tx.getMany("own", ["n", "list", "object", "new", "none"])];
    });
    const expected = [0.3, 100.3, [1, 2], { a: { c: 2, d: 3 } }, ["x", "y"], null];
    expect(seen).toEqual(expected);
    expect(await mutable.getMany("own", ["n", "list", "object", "new"])).toEqual(
      expected.slice(1, 5),
    );
  });

  it.each([
    ["increment", (tx) => tx.increment("bad", "text"), "VALUE_NOT_NUMERIC"],
    ["append", (tx) => tx.append("bad", "text", 1), "VALUE_NOT_ARRAY"],
    ["increment of a missing key", (tx) => tx.increment("bad", "none"), "KEY_NOT_FOUND"],
    ["an amount of NaN", (tx) => tx.increment("bad", "n", Number.NaN), "INVALID_AMOUNT"],
    ["an amount that is no decimal", (tx) => tx.increment("bad", "n", "ten"), "INVALID_AMOUNT"],
    ["an unknown option", (tx) => tx.append("bad", "n", 1, { ttl: 1 } as never), "INVALID_OPTIONS"],
  ] as [string, (tx: import("../../client/index.js").Transaction) => void, string][])(
    "fails with the index of the operation for %s",
    async (_, change, reason) => {
      const { mutable } = s.cortex;
      await mutable.setMany("bad", { text: "t", n: 1 });
      const work = mutable.transaction((tx) => {
        tx.set("bad", "first", 1);
        change(tx);
      });
      await expect(work).toFailWith("TRANSACTION_FAILED", { reason, operationIndex: 1 });
      expect(await mutable.exists("bad", "first")).toBe(false);
    },
  );

  it("lists entries with its own writes among them, and nobody can add one meanwhile", async () => {
    const { mutable } = s.cortex;
    await mutable.setMany("listed", { "a:1": 1, "a:2": 2, "a:3": 3, "b:1": 9 });
    const listed = await mutable.transaction((tx) => {
      tx.delete("listed", "a:2");
      tx.set("listed", "a:0", 0);
      tx.increment("listed", "a:3", 10);
      return tx.list<number>("listed", { keyPrefix: "a:" });
    });
    expect(listed).toEqual([
      { key: "a:0", value: 0 },
      { key: "a:1", value: 1 },
      { key: "a:3", value: 13 },
    ]);
    // Ten transactions each add one entry only if there are fewer than five.
    await mutable.purgeNamespace("seats");
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        s.client().mutable.transaction(
          (tx) => {
            if (tx.list("seats").length >= 5) return false;
            tx.set("seats", `s${i}`, i);
            return true;
          },
          { maxAttempts: 100 },
        ),
      ),
    );
    expect(outcomes.filter(Boolean)).toHaveLength(5);
    expect(await mutable.count("seats")).toBe(5);
  });

  it("fails if it lists more than the limit, or gives an invalid limit", async () => {
    const { mutable } = s.cortex;
    await mutable.setMany("many", { a: 1, b: 2, c: 3 });
    await expect(mutable.transaction((tx) => tx.list("many", { limit: 2 }))).toFailWith(
      "REPLY_TOO_LARGE",
    );
    expect(await mutable.transaction((tx) => tx.list("many", { limit: 3 }).length)).toBe(3);
    for (const [options, reason] of [
      [{ limit: "2" }, "INVALID_LIMIT"],
      [{ keyPrefix: 5 }, "INVALID_FILTER"],
      [{ sortBy: "key" }, "INVALID_OPTIONS"],
    ] as const)
      await expect(mutable.transaction((tx) => tx.list("many", options as never))).toFailWith(
        "TRANSACTION_FAILED",
        { reason },
      );
  });
});

it("the client computes a change exactly as the server does", async () => {
  const { mutable } = s.cortex;
  const number = fc.oneof(
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }),
  );
  const json = fc.jsonValue({ maxDepth: 3 });
  await fc.assert(
    fc.asyncProperty(
      number,
      number,
      fc.dictionary(fc.string(), json),
      json,
      async (n, by, object, patch) => {
        await mutable.setMany("computed", { n, object, list: [patch] });
        const local = {
          n: JSON.parse(
            changed({ case: "increment", value: { amount: String(by) } }, JSON.stringify(n)),
          ),
          object: JSON.parse(
            changed(
              { case: "merge", value: { patchJson: JSON.stringify(patch) } },
              JSON.stringify(object),
            ),
          ),
          list: JSON.parse(
            changed(
              { case: "append", value: { valueJson: JSON.stringify(patch) } },
              JSON.stringify([patch]),
            ),
          ),
        };
        expect((await mutable.increment("computed", "n", by)).value).toBe(local.n);
        expect((await mutable.merge("computed", "object", patch)).value).toEqual(local.object);
        expect((await mutable.append("computed", "list", patch)).value).toEqual(local.list);
      },
    ),
    { numRuns: 100 },
  );
});
