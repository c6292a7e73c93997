// Tests cortex.mutable.transaction(), with a callback and with a list: as the specification says, and in
// cases that it leaves open.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { CortexError, type Operation, type Transaction } from "../../client/index.js";
import { serve } from "../support/server.js";

const s = serve();
const failure = (work: Promise<unknown>) =>
  work.then(
    () => {
      throw new Error("no failure");
    },
    (error: unknown) => error as CortexError,
  );

describe("transaction(callback)", () => {
  it("moves stock between products, as spec/1 writes it: reads without waiting, both or neither", async () => {
    const { mutable } = s.cortex;
    await mutable.setMany("inventory", { "product-a": 15, "product-b": 0 });
    const transfer = () =>
      mutable.transaction(async (tx) => {
        const qtyA = tx.get("inventory", "product-a");
        const qtyB = tx.get("inventory", "product-b");
        if (qtyA < 10) {
          throw new Error("Insufficient inventory for product-a");
        }
        tx.update("inventory", "product-a", (qty) => qty - 10);
        tx.update("inventory", "product-b", (qty) => qty + 10);
        expect(tx.get("inventory", "product-b")).toBe(qtyB + 10); // sees its own write
      });
    const result = await transfer();
    expect(result).toMatchObject({ success: true, operationsExecuted: 2 });
    expect(result.results).toMatchObject([
      { key: "product-a", value: 5 },
      { key: "product-b", value: 10 },
    ]);
    const error = await failure(transfer());
    expect(error).toBeInstanceOf(CortexError);
    expect(error).toMatchObject({
      code: "TRANSACTION_FAILED",
      cause: { message: "Insufficient inventory for product-a" },
    });
    expect(await mutable.getMany("inventory", ["product-a", "product-b"])).toEqual([5, 10]);
  });

  it("records a sale, as spec/1 writes it: three updates, fetched together", async () => {
    const { mutable } = s.cortex;
    await mutable.set("inventory", "widget-qty", 100);
    await mutable.setMany("counters", { "total-sales": null, revenue: null });
    let runs = 0;
    await mutable.transaction(async (tx) => {
      runs++;
      tx.update("inventory", "widget-qty", (qty) => qty - 1);
      tx.update("counters", "total-sales", (count) => (count || 0) + 1);
      tx.update("counters", "revenue", (rev) => (rev || 0) + 49.99);
    });
    expect(runs).toBe(2);
    expect(await mutable.getMany("counters", ["total-sales", "revenue"])).toEqual([1, 49.99]);
  });

  it("reads with and without await, in a callback that is async or not; null for a missing key", async () => {
    const { mutable } = s.cortex;
    await mutable.set("awaited", "a", { n: 1 });
    const seen: unknown[] = [];
    await mutable.transaction((tx) => {
      seen[0] = tx.get("awaited", "a");
      seen[1] = tx.get("awaited", "none");
    });
    await mutable.transaction(async (tx) => {
      seen[2] = (await tx.get("awaited", "a")).n;
      await tx.set("awaited", "b", seen[2]);
      await pause(1);
      seen[3] = await tx.get("awaited", "b");
      await tx.delete("awaited", "b");
      seen[4] = await tx.get("awaited", "b");
    });
    expect(seen).toEqual([{ n: 1 }, null, 1, 1, null]);
    expect(await mutable.exists("awaited", "b")).toBe(false);
  });

  it("is not broken by a callback that catches whatever is thrown", async () => {
    const { mutable } = s.cortex;
    await mutable.setMany("caught", { a: 1, b: 2 });
    await mutable.transaction(async (tx) => {
      let sum = 0;
      for (const key of ["a", "b"])
        try {
          sum += tx.get("caught", key);
        } catch {
          sum = -1000; // such a run is repeated, so this is never stored
        }
      tx.set("caught", "sum", sum);
    });
    expect(await mutable.get("caught", "sum")).toBe(3);
  });

  it("writes user, metadata and expiry with set, and deletes", async () => {
    const { mutable, users } = s.cortex;
    await users.create("user-tx");
    await mutable.set("options", "old", 1);
    const { results } = await mutable.transaction((tx) => {
      tx.set("options", "k", 1, { userId: "user-tx", metadata: { m: 1 }, ttlSeconds: 60 });
      tx.delete("options", "old");
    });
    expect(results).toMatchObject([
      { userId: "user-tx", metadata: { m: 1 } },
      { deleted: true, namespace: "options", key: "old" },
    ]);
  });

  it("fails for a missing key in update and delete, naming the operation; createIfMissing creates it", async () => {
    const { mutable } = s.cortex;
    for (const work of [
      (tx: Transaction) => {
        tx.set("missing", "before", 1);
        tx.update("missing", "k", (n) => n + 1);
      },
      (tx: Transaction) => {
        tx.set("missing", "before", 1);
        tx.delete("missing", "k");
      },
    ])
      expect(await failure(mutable.transaction(work))).toMatchObject({
        code: "TRANSACTION_FAILED",
        details: { operationIndex: 1, reason: "KEY_NOT_FOUND", key: "k" },
      });
    expect(await mutable.exists("missing", "before")).toBe(false);
    await mutable.transaction((tx) =>
      tx.update("missing", "k", (n) => (n ?? 0) + 1, { createIfMissing: true }),
    );
    expect(await mutable.get("missing", "k")).toBe(1);
  });

  it("runs again when a rival writes what it has read, or creates what it found absent", async () => {
    const { mutable } = s.cortex;
    await mutable.set("rival", "n", 1);
    let runs = 0;
    await mutable.transaction(async (tx) => {
      const n = tx.get("rival", "n");
      if (++runs === 1) await mutable.set("rival", "n", 10);
      tx.set("rival", "copy", n);
    });
    expect([runs, await mutable.get("rival", "copy")]).toEqual([2, 10]);
    runs = 0;
    await mutable.transaction(async (tx) => {
      const seen = tx.get("rival", "absent");
      if (++runs === 1) await mutable.set("rival", "absent", "theirs");
      tx.set("rival", "seen", seen);
    });
    expect([runs, await mutable.get("rival", "seen")]).toEqual([2, "theirs"]);
  });

  it("runs again if the callback threw after it read values of different moments", async () => {
    const { mutable } = s.cortex;
    await mutable.setMany("torn", { a: 50 });
    await mutable.set("torn-2", "b", 50);
    let interfered = false;
    await mutable.transaction(async (tx) => {
      const a = tx.get("torn", "a");
      if (!interfered) {
        interfered = true; // between the two reads, a rival changes both keys
        await mutable.transaction((other) => {
          other.set("torn", "a", 0);
          other.set("torn-2", "b", 100);
        });
      }
      const b = tx.get("torn-2", "b");
      if (a + b !== 100) throw new Error(`${a} + ${b}`);
      tx.set("torn", "sum", a + b);
    });
    expect(await mutable.get("torn", "sum")).toBe(100);
  });

  it("takes locks when it keeps losing to rivals, and then succeeds", async () => {
    const { mutable } = s.cortex;
    await mutable.set("losing", "n", 0);
    let runs = 0;
    const rival = s.client();
    const writes: Promise<unknown>[] = [];
    await mutable.transaction(async (tx) => {
      const n = tx.get("losing", "n");
      runs++;
      // The rival writes first every time, until it has to wait for the lock.
      const write = rival.mutable.increment("losing", "n");
      writes.push(write);
      await Promise.race([write, pause(100)]);
      tx.set("losing", "n", n + 1000);
    });
    await Promise.all(writes);
    expect(runs).toBeLessThan(8);
    expect(await mutable.get("losing", "n")).toBe(1000 + writes.length);
  });

  it("gives up after maxAttempts, and after timeoutMs", async () => {
    const { mutable } = s.cortex;
    await mutable.set("limits", "n", 0);
    const rival = s.client();
    const error = await failure(
      mutable.transaction(
        async (tx) => {
          const n = tx.get("limits", "n");
          await rival.mutable.increment("limits", "n");
          tx.set("limits", "n", n);
        },
        { maxAttempts: 2 },
      ),
    );
    expect(error).toMatchObject({
      code: "TRANSACTION_FAILED",
      details: { reason: "CONFLICT", attempts: "2" },
    });
    expect(
      await failure(mutable.transaction(() => new Promise<void>(() => {}), { timeoutMs: 100 })),
    ).toMatchObject({ code: "TRANSACTION_TIMEOUT", details: { applied: "no" } });
    const controller = new AbortController();
    const cancelled = failure(
      mutable.transaction(() => new Promise<void>(() => {}), { signal: controller.signal }),
    );
    controller.abort(new Error("enough"));
    expect(await cancelled).toMatchObject({ code: "CANCELLED", cause: { message: "enough" } });
  });

  it("refuses what cannot be stored, an async updater, and work after its end", async () => {
    const { mutable } = s.cortex;
    await mutable.set("refused", "k", 1);
    for (const [work, reason] of [
      [(tx) => tx.set("refused", "k", undefined), "INVALID_VALUE"],
      [(tx) => tx.set("refused", "\ud800", 1), "INVALID_KEY"],
      [(tx) => tx.update("refused", "k", (async (n: number) => n) as never), "INVALID_UPDATER"],
      [(tx) => tx.update("refused", "k", 5 as never), "INVALID_UPDATER"],
      [(tx) => tx.set("refused", "k", 1, { ttl: 5 } as never), "INVALID_OPTIONS"],
    ] as [(tx: Transaction) => void, string][])
      expect(await failure(mutable.transaction(work))).toMatchObject({
        code: "TRANSACTION_FAILED",
        details: { reason },
        cause: { code: reason },
      });
    let late: { set(namespace: string, key: string, value: unknown): void } | undefined;
    await mutable.transaction((tx) => {
      late = tx;
    });
    expect(() => late?.set("refused", "k", 2)).toThrow("over");
    for (const work of [undefined, null, "x", {}])
      expect((await failure(mutable.transaction(work as never))).code).toBe("INVALID_OPERATIONS");
    for (const options of [{ maxAttempts: 0 }, { attempts: 1 }, { requestId: "r" }])
      expect((await failure(mutable.transaction(() => {}, options as never))).code).toBe(
        "INVALID_OPTIONS",
      );
    expect(await mutable.get("refused", "k")).toBe(1);
  });

  it("without writes succeeds with no operations", async () => {
    const { mutable } = s.cortex;
    await mutable.set("sums", "a", 1);
    expect(
      await mutable.transaction((tx) => {
        tx.get("sums", "a");
      }),
    ).toEqual({ success: true, operationsExecuted: 0, results: [] });
  });
});

describe("transaction(operations)", () => {
  it("does them in order, later ones see earlier ones", async () => {
    const { mutable } = s.cortex;
    const { success, operationsExecuted, results } = await mutable.transaction([
      { op: "set", namespace: "list", key: "n", value: 10, metadata: { m: 1 } },
      { op: "increment", namespace: "list", key: "n", amount: 5 },
      { op: "decrement", namespace: "list", key: "n" },
      { op: "update", namespace: "list", key: "n", value: [1] },
      { op: "append", namespace: "list", key: "n", value: 2 },
      { op: "set", namespace: "list", key: "o", value: { a: 1 } },
      { op: "merge", namespace: "list", key: "o", value: { b: 2 } },
      { op: "increment", namespace: "list", key: "new", createIfMissing: true },
      { op: "delete", namespace: "list", key: "new" },
    ]);
    expect([success, operationsExecuted]).toEqual([true, 9]);
    expect(
      results.map((result) =>
        "value" in result ? result.value : "deleted" in result && result.deleted,
      ),
    ).toEqual([10, 15, 14, [1], [1, 2], { a: 1 }, { a: 1, b: 2 }, 1, true]);
    expect(results[0]).toMatchObject({ namespace: "list", key: "n", metadata: { m: 1 } });
  });

  it("applies none if one fails, and says which and why", async () => {
    const { mutable } = s.cortex;
    const error = await failure(
      mutable.transaction([
        { op: "set", namespace: "list", key: "half", value: 1 },
        { op: "delete", namespace: "list", key: "nobody" },
      ]),
    );
    expect(error).toMatchObject({
      code: "TRANSACTION_FAILED",
      retryable: false,
      details: { operationIndex: 1, reason: "KEY_NOT_FOUND", namespace: "list", key: "nobody" },
    });
    expect(await mutable.exists("list", "half")).toBe(false);
  });

  it("is done once under one requestId", async () => {
    const { mutable } = s.cortex;
    const work: Operation[] = [
      { op: "increment", namespace: "list", key: "once", createIfMissing: true },
    ];
    const first = await mutable.transaction(work, { requestId: "list-1" });
    expect(await mutable.transaction(work, { requestId: "list-1" })).toEqual(first);
    expect(await mutable.get("list", "once")).toBe(1);
  });

  it("refuses an empty or malformed list", async () => {
    const { mutable } = s.cortex;
    const at = { namespace: "list", key: "k" };
    const set = { op: "set", ...at, value: 1 };
    for (const [list, code] of [
      [[], "INVALID_OPERATIONS"],
      [[null], "INVALID_OPERATIONS"],
      [[{ ...at }], "INVALID_OPERATIONS"],
      [[{ op: "toString", ...at }], "INVALID_OPERATIONS"],
      [[set, { op: "delete", ...at, value: 1 }], "INVALID_OPERATIONS"],
      [[{ ...set, ttl: 5 }], "INVALID_OPERATIONS"],
      [[{ ...set, key: 5 }], "INVALID_KEY"],
      [[{ ...set, value: undefined }], "INVALID_VALUE"],
      [[{ op: "increment", ...at, amount: Number.NaN }], "INVALID_AMOUNT"],
      [Array.from({ length: 501 }, () => set), "INVALID_OPERATIONS"],
    ] as [Operation[], string][])
      expect((await failure(mutable.transaction(list))).code).toBe(code);
    expect(await mutable.exists("list", "k")).toBe(false);
  });
});
