import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CortexError } from "../../client/index.js";
import { MutableStore, type UpdateResponse } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { Raw } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const ns = "ns";

describe("update(fn)", () => {
  it("stores what the updater makes of the value, keeping user, metadata and expiry", async () => {
    await s.cortex.users.upsert("u");
    const before = await s.cortex.mutable.set(
      ns,
      "k",
      { n: 1 },
      { userId: "u", metadata: { m: 1 }, ttlSeconds: 60 },
    );
    const after = await s.cortex.mutable.update(ns, "k", (value) => ({ ...value, n: value.n + 1 }));
    expect(after).toMatchObject({
      value: { n: 2 },
      userId: "u",
      metadata: { m: 1 },
      createdAt: before.createdAt,
    });
    expect(after.expiresAt).toEqual(before.expiresAt);
    expect(after.revision).not.toBe(before.revision);
  });

  it("fails for a missing key, naming the option that creates it", async () => {
    await expect(s.cortex.mutable.update(ns, "missing", (n) => n + 1)).toFailWith("KEY_NOT_FOUND", {
      key: "missing",
    });
    await expect(s.cortex.mutable.update(ns, "missing", (n) => n + 1)).rejects.toThrow(
      "createIfMissing",
    );
    expect(await s.cortex.mutable.exists(ns, "missing")).toBe(false);
  });

  it("creates with createIfMissing, from null", async () => {
    const seen: unknown[] = [];
    const record = await s.cortex.mutable.update(
      ns,
      "created",
      (n) => {
        seen.push(n);
        return (n || 0) + 1;
      },
      { createIfMissing: true },
    );
    expect(record.value).toBe(1);
    expect(seen).toEqual([null]);
  });

  it("gives a stored null to the updater as null", async () => {
    await s.cortex.mutable.set(ns, "null", null);
    expect((await s.cortex.mutable.update(ns, "null", (n) => (n || 0) + 1)).value).toBe(1);
  });

  it("fails as UPDATE_FAILED with the updater's own error as cause, and writes nothing", async () => {
    const { revision } = await s.cortex.mutable.set(ns, "stock", 0);
    const boom = new Error("Out of stock");
    const error = await s.cortex.mutable
      .update(ns, "stock", () => {
        throw boom;
      })
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CortexError);
    expect(error).toMatchObject({ code: "UPDATE_FAILED", cause: boom, retryable: false });
    expect((await s.cortex.mutable.getRecord(ns, "stock"))?.revision).toBe(revision);
  });

  it("takes an async updater, and refuses what is not a function or returns nothing", async () => {
    await s.cortex.mutable.set(ns, "async", 1);
    expect((await s.cortex.mutable.update(ns, "async", async (n) => n + 1)).value).toBe(2);
    await expect(s.cortex.mutable.update(ns, "async", 5 as never)).toFailWith("INVALID_UPDATER");
    await expect(s.cortex.mutable.update(ns, "async", () => undefined)).toFailWith(
      "INVALID_VALUE",
      { path: "value" },
    );
    expect(await s.cortex.mutable.get(ns, "async")).toBe(2);
  });

  it("runs again when a rival writes in between", async () => {
    await s.cortex.mutable.set(ns, "raced", 1);
    let attempts = 0;
    const record = await s.cortex.mutable.update(ns, "raced", async (n) => {
      if (++attempts === 1) await s.cortex.mutable.set(ns, "raced", 10);
      return n + 1;
    });
    expect([record.value, attempts]).toEqual([11, 2]);
  });

  it("runs again when a rival creates the key in between, and when one deletes it", async () => {
    let attempts = 0;
    const created = await s.cortex.mutable.update(
      ns,
      "raced-create",
      async (n) => {
        if (++attempts === 1) await s.cortex.mutable.set(ns, "raced-create", 10);
        return (n ?? 0) + 1;
      },
      { createIfMissing: true },
    );
    expect([created.value, attempts]).toEqual([11, 2]);
    await expect(
      s.cortex.mutable.update(ns, "raced-create", async (n) => {
        await s.cortex.mutable.delete(ns, "raced-create");
        return n + 1;
      }),
    ).toFailWith("KEY_NOT_FOUND");
  });

  it("runs again if the updater threw on a value that another client had already replaced", async () => {
    const rival = s.client();
    await s.cortex.mutable.set(ns, "stale", 1);
    // The second update starts from the value that the first one committed (0), but the rival has replaced
    // it.
    const first = s.cortex.mutable.update(ns, "stale", (n) => n - 1);
    const second = s.cortex.mutable.update(ns, "stale", async (n) => {
      if (n === 0) await rival.mutable.set(ns, "stale", 5);
      if (n <= 0) throw new Error("Out of stock");
      return n - 1;
    });
    expect((await first).value).toBe(0);
    expect((await second).value).toBe(4);
  });

  it("loses none of ten thousand concurrent increments", async () => {
    await s.cortex.mutable.set(ns, "hot", 0);
    const clients = Array.from({ length: 2 }, () => s.client());
    const updates = clients.flatMap((client) =>
      Array.from({ length: 5000 }, () => client.mutable.update(ns, "hot", (n) => n + 1)),
    );
    await Promise.all(updates);
    expect(await s.cortex.mutable.get(ns, "hot")).toBe(10_000);
  }, 120_000);

  it("fails in time although its updater never ends, and the next update goes on", async () => {
    await s.cortex.mutable.set(ns, "endless", 0);
    const endless = s.cortex.mutable.update(ns, "endless", () => new Promise(() => {}), {
      timeoutMs: 200,
    });
    const next = s.cortex.mutable.update(ns, "endless", (n) => n + 1);
    await expect(endless).toFailWith("DEADLINE_EXCEEDED");
    expect((await next).value).toBe(1);
    const nested = s.cortex.mutable.update(
      ns,
      "endless",
      async (n) => n + (await s.cortex.mutable.update(ns, "endless", (m) => m + 1)).value,
      { timeoutMs: 200 },
    );
    await expect(nested).toFailWith("DEADLINE_EXCEEDED");
  });

  it("leaves the queue at once when its signal aborts while it waits", async () => {
    await s.cortex.mutable.set(ns, "queue", 0);
    let release: (() => void) | undefined;
    const first = s.cortex.mutable.update(
      ns,
      "queue",
      (n) =>
        new Promise<number>((resolve) => {
          release = () => resolve(n + 1);
        }),
    );
    while (!release) await pause(10);
    let ran = false;
    const waiting = s.cortex.mutable.update(
      ns,
      "queue",
      (n) => {
        ran = true;
        return n + 1;
      },
      { signal: AbortSignal.timeout(50) },
    );
    await expect(waiting).toFailWith("CANCELLED");
    release();
    expect((await first).value).toBe(1);
    expect((await s.cortex.mutable.update(ns, "queue", (n) => n + 1)).value).toBe(2);
    expect(ran).toBe(false);
  });

  it("stops when its signal aborts, and the next update goes on", async () => {
    await s.cortex.mutable.set(ns, "line", 0);
    const controller = new AbortController();
    const stuck = s.cortex.mutable.update(
      ns,
      "line",
      async (n) => {
        controller.abort(new Error("enough"));
        return n + 1;
      },
      { signal: controller.signal },
    );
    const next = s.cortex.mutable.update(ns, "line", (n) => n + 1);
    await expect(stuck).toFailWith("CANCELLED");
    expect((await next).value).toBe(1);
  });
});

describe("increment and decrement", () => {
  it("compute exactly: 0.1 + 0.2 is 0.3, and 49.99 a thousand times is 49990", async () => {
    await s.cortex.mutable.set(ns, "exact", 0.1);
    expect((await s.cortex.mutable.increment(ns, "exact", 0.2)).value).toBe(0.3);
    await s.cortex.mutable.set(ns, "revenue", 0);
    await Promise.all(
      Array.from({ length: 1000 }, () => s.cortex.mutable.increment(ns, "revenue", 49.99)),
    );
    expect(await s.cortex.mutable.get(ns, "revenue")).toBe(49990);
  });

  it("take 1 by default, 0, negative amounts, decimal text and bigint; results may be negative", async () => {
    await s.cortex.mutable.set(ns, "n", 5);
    expect((await s.cortex.mutable.increment(ns, "n")).value).toBe(6);
    expect((await s.cortex.mutable.increment(ns, "n", 0)).value).toBe(6);
    expect((await s.cortex.mutable.decrement(ns, "n")).value).toBe(5);
    expect((await s.cortex.mutable.decrement(ns, "n", 7)).value).toBe(-2);
    expect((await s.cortex.mutable.increment(ns, "n", -0.5)).value).toBe(-2.5);
    expect((await s.cortex.mutable.increment(ns, "n", "1e3")).value).toBe(997.5);
    expect((await s.cortex.mutable.increment(ns, "n", 2n ** 60n)).value).toBe(
      Number(2n ** 60n) + 997.5,
    );
    const [row] =
      await s.sql`select value::text from mutable where namespace = ${ns} and key = 'n'`;
    expect(row?.value).toBe("1152921504606847973.5");
  });

  it("count a stored null as 0, and refuse other values", async () => {
    await s.cortex.mutable.set(ns, "was-null", null);
    expect((await s.cortex.mutable.increment(ns, "was-null", 2)).value).toBe(2);
    for (const [value, got] of [
      ["5", "string"],
      [true, "boolean"],
      [[1], "array"],
      [{ n: 1 }, "object"],
    ] as const) {
      const { revision } = await s.cortex.mutable.set(ns, "not-a-number", value);
      await expect(s.cortex.mutable.increment(ns, "not-a-number")).toFailWith("VALUE_NOT_NUMERIC", {
        got,
      });
      expect((await s.cortex.mutable.getRecord(ns, "not-a-number"))?.revision).toBe(revision);
    }
  });

  it("create from 0 where createIfMissing says so", async () => {
    await expect(s.cortex.mutable.increment(ns, "counter")).toFailWith("KEY_NOT_FOUND");
    expect(
      (await s.cortex.mutable.increment(ns, "counter", 5, { createIfMissing: true })).value,
    ).toBe(5);
    expect((await s.cortex.mutable.decrement(ns, "debt", 5, { createIfMissing: true })).value).toBe(
      -5,
    );
    await Promise.all(
      Array.from({ length: 64 }, () =>
        s.cortex.mutable.increment(ns, "created-once", 1, { createIfMissing: true }),
      ),
    );
    expect(await s.cortex.mutable.get(ns, "created-once")).toBe(64);
  });

  it("refuse an amount that is no decimal number in bounds", async () => {
    await s.cortex.mutable.set(ns, "amounts", 1);
    for (const amount of [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      "",
      "abc",
      "1e401",
      "1e-401",
      "0x10",
      "1 ",
      "NaN",
      `1${"0".repeat(100)}`,
    ])
      await expect(s.cortex.mutable.increment(ns, "amounts", amount)).toFailWith("INVALID_AMOUNT");
    for (const amount of ["1e400", "-1e400", `1${"0".repeat(99)}`, `-1${"0".repeat(98)}`])
      await s.cortex.mutable.increment(ns, "amounts", amount);
    expect(await s.cortex.mutable.get(ns, "amounts")).toBe(9n * 10n ** 98n + 1n);
  });

  it("refuse a stored number too long for exact arithmetic, and leave it", async () => {
    const raw = new Raw(s.address);
    const valueJson = `1e${"9".repeat(6)}`;
    await raw.call(MutableStore.method.set, { namespace: ns, key: "huge", valueJson });
    await expect(s.cortex.mutable.increment(ns, "huge")).toFailWith("NUMBER_OUT_OF_RANGE");
    raw.close();
  });

  it("keep user, metadata and expiry, and take ifRevision", async () => {
    const before = await s.cortex.mutable.set(ns, "kept", 1, {
      metadata: { m: 1 },
      ttlSeconds: 60,
    });
    const after = await s.cortex.mutable.increment(ns, "kept", 1, { ifRevision: before.revision });
    expect(after).toMatchObject({ value: 2, metadata: { m: 1 }, expiresAt: before.expiresAt });
    await expect(
      s.cortex.mutable.increment(ns, "kept", 1, { ifRevision: before.revision }),
    ).toFailWith("REVISION_MISMATCH", { current_revision: after.revision });
    await expect(
      s.cortex.mutable.increment(ns, "kept", 1, {
        ifRevision: after.revision,
        createIfMissing: true,
      }),
    ).toFailWith("INVALID_OPTIONS");
  });
});

describe("append", () => {
  it("appends at the end, also to an empty array, and keeps the elements to the letter", async () => {
    const raw = new Raw(s.address);
    await raw.call(MutableStore.method.set, {
      namespace: ns,
      key: "list",
      valueJson: ' [ 1.0, "\\u0000" ] ',
    });
    await s.cortex.mutable.append(ns, "list", { x: [2] });
    const [row] =
      await s.sql`select value::text from mutable where namespace = ${ns} and key = 'list'`;
    expect(row?.value).toBe(' [ 1.0, "\\u0000" ,{"x":[2]}]');
    await raw.call(MutableStore.method.set, { namespace: ns, key: "empty", valueJson: " [ \n ] " });
    expect((await s.cortex.mutable.append(ns, "empty", null)).value).toEqual([null]);
    raw.close();
  });

  it("refuses what is not an array, and a missing key unless createIfMissing", async () => {
    for (const [value, got] of [
      [null, "null"],
      ["[]", "string"],
      [{ "0": 1 }, "object"],
    ] as const) {
      await s.cortex.mutable.set(ns, "no-array", value);
      await expect(s.cortex.mutable.append(ns, "no-array", 1)).toFailWith("VALUE_NOT_ARRAY", {
        got,
      });
    }
    await expect(s.cortex.mutable.append(ns, "no-list", 1)).toFailWith("KEY_NOT_FOUND");
    expect(
      (await s.cortex.mutable.append(ns, "no-list", 1, { createIfMissing: true })).value,
    ).toEqual([1]);
    expect(
      (await s.cortex.mutable.append(ns, "no-list", [2], { createIfMissing: true })).value,
    ).toEqual([1, [2]]);
  });

  it("keeps every one of 200 concurrent elements", async () => {
    await s.cortex.mutable.set(ns, "log", []);
    await Promise.all(Array.from({ length: 200 }, (_, i) => s.cortex.mutable.append(ns, "log", i)));
    const log = await s.cortex.mutable.get<number[]>(ns, "log");
    expect(log?.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });
});

describe("merge", () => {
  // The examples of RFC 7396, appendix A.
  it.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', "{}"],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', "null", "null"],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ["[1,2]", '{"a":"b","c":null}', '{"a":"b"}'],
    ["{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])("makes of %s by %s: %s", async (target, patch, result) => {
    await s.cortex.mutable.set(ns, "merged", JSON.parse(target));
    expect((await s.cortex.mutable.merge(ns, "merged", JSON.parse(patch))).value).toEqual(
      JSON.parse(result),
    );
  });

  it("agrees with the algorithm of the RFC on any documents, also through escapes the database cannot hold as text", async () => {
    const key = fc.constantFrom(
      "a",
      "b",
      "\u0000",
      "\ue000",
      "\ue0000000",
      "\\u0000",
      "é",
      "__proto__",
      "\u{1f389}",
    );
    const document = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(null, 1, true, "\u0000", "\\", "\ue000_", "text"),
        fc.array(tie("value"), { maxLength: 2 }),
        fc.dictionary(key, tie("value"), { maxKeys: 4 }),
      ),
    })).value;
    await s.cortex.mutable.set(ns, "rfc", {});
    await fc.assert(
      fc.asyncProperty(document, document, async (target, patch) => {
        await s.cortex.mutable.set(ns, "rfc", target);
        const { value } = await s.cortex.mutable.merge(ns, "rfc", patch);
        expect(value).toEqual(mergePatch(target, patch));
      }),
      { numRuns: 300 },
    );
  });

  it("finds a member however its name is escaped, and keeps names as they are", async () => {
    const raw = new Raw(s.address);
    const { set, update } = MutableStore.method;
    const merged = async (valueJson: string, patchJson: string) => {
      await raw.call(set, { namespace: ns, key: "escaped", valueJson });
      const operation = { case: "merge" as const, value: { patchJson } };
      const reply = await raw.call(update, { namespace: ns, key: "escaped", operation });
      expect(reply).toHaveProperty("record.valueJson"); // if the call failed, this shows the failure
      return JSON.parse((reply as UpdateResponse).record?.valueJson ?? "");
    };
    expect(await merged('{"😀":1}', '{"\\uD83D\\uDE00":null}')).toEqual({});
    expect(await merged('{"\\ud83d\\ude00":1,"z":2}', '{"😀":null}')).toEqual({ z: 2 });
    expect(await merged('{"\\ud83d\\ude00":1,"😀":2}', '{"\\ud83d\\ude00":3}')).toEqual({
      "😀": 3,
    });
    expect(await merged('{"\\uE0000000":"a"}', '{"z":1}')).toEqual({ "\ue0000000": "a", z: 1 });
    expect(await merged('{"\\ue000_":1,"\\ue000p":2}', '{"z":1}')).toEqual({
      "\ue000_": 1,
      "\ue000p": 2,
      z: 1,
    });
    expect(await merged('{"\\\\ud83d\\ude00":1}', '{"z":1}')).toEqual({ "\\ud83d\ude00": 1, z: 1 });
    // Any document, with any of its characters escaped.
    const unit = fc.constantFrom(
      "a",
      "\\",
      "\u0000",
      "\ue000",
      "p",
      "_",
      "0",
      "\ud83d",
      "\ude00",
      "😀",
    );
    const text = fc.string({ unit, maxLength: 6 });
    const escaped = (value: unknown, pattern: boolean[]) => {
      let i = 0;
      return JSON.stringify(value).replace(/[^\x20-\x7e]/g, (char) =>
        pattern[i++ % pattern.length]
          ? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
          : char,
      );
    };
    const documents = fc.dictionary(text, fc.oneof(text, fc.constant(null)), { maxKeys: 4 });
    const patterns = fc.array(fc.boolean(), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(documents, documents, patterns, async (target, patch, pattern) => {
        const [old, change] = [escaped(target, pattern), escaped(patch, pattern)];
        fc.pre(old.isWellFormed() && change.isWellFormed());
        expect(await merged(old, change)).toEqual(mergePatch(target, patch));
      }),
      { numRuns: 300 },
    );
    raw.close();
  });

  it("writes a result no larger than it need be", async () => {
    const members = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`k${i}`, i % 10]));
    await s.cortex.mutable.set(ns, "compact", members);
    const bytes = () => s.sql`select bytes from mutable where key = 'compact'`;
    const before = await bytes();
    await s.cortex.mutable.merge(ns, "compact", { k0: 5 });
    expect(await bytes()).toEqual(before);
  });

  it("keeps order and the spelling of numbers, and lets the last of repeated members count", async () => {
    const raw = new Raw(s.address);
    const { set, update } = MutableStore.method;
    await raw.call(set, {
      namespace: ns,
      key: "letters",
      valueJson: '{"z":1.00,"a":12345678901234567890,"z":2.0}',
    });
    const reply = await raw.call(update, {
      namespace: ns,
      key: "letters",
      operation: { case: "merge", value: { patchJson: '{"m":1e2,"m":3e2}' } },
    });
    const { record } = reply as UpdateResponse;
    expect(record?.valueJson.replaceAll(" ", "")).toBe(
      '{"a":12345678901234567890,"z":2.0,"m":3e2}',
    );
    raw.close();
  });

  it("merges 64 different members at once without losing one, and creates from {} where asked", async () => {
    await expect(s.cortex.mutable.merge(ns, "fields", { a: 1 })).toFailWith("KEY_NOT_FOUND");
    await Promise.all(
      Array.from({ length: 64 }, (_, i) =>
        s.cortex.mutable.merge(ns, "fields", { [`f${i}`]: i }, { createIfMissing: true }),
      ),
    );
    expect(Object.keys((await s.cortex.mutable.get(ns, "fields")) ?? {})).toHaveLength(64);
    expect(
      (await s.cortex.mutable.merge(ns, "pruned", { a: { b: null } }, { createIfMissing: true }))
        .value,
    ).toEqual({ a: {} });
  });
});

describe("replace", () => {
  it("replaces the value only, and creates with createIfMissing", async () => {
    const raw = new Raw(s.address);
    const before = await s.cortex.mutable.set(ns, "replaced", 1, {
      metadata: { m: 1 },
      ttlSeconds: 60,
    });
    const replace = (key: string, createIfMissing: boolean) =>
      raw.call(MutableStore.method.update, {
        namespace: ns,
        key,
        createIfMissing,
        operation: { case: "replace", value: { valueJson: "[2]" } },
      });
    await replace("replaced", false);
    expect(await s.cortex.mutable.getRecord(ns, "replaced")).toMatchObject({
      value: [2],
      metadata: { m: 1 },
      expiresAt: before.expiresAt,
    });
    expect(await replace("not-there", false)).toMatchObject({ reason: "KEY_NOT_FOUND" });
    await replace("not-there", true);
    expect(await s.cortex.mutable.get(ns, "not-there")).toEqual([2]);
    raw.close();
  });
});

function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const isObject = typeof target === "object" && target !== null && !Array.isArray(target);
  const result = new Map<string, unknown>(isObject ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, mergePatch(result.get(key), value));
  }
  return Object.fromEntries(result); // unlike an assignment, this keeps a member named __proto__
}

describe("expire", () => {
  it("sets the time of a key that exists, keeps the rest, and says whether there was one", async () => {
    const { mutable, users } = s.cortex;
    await users.upsert("expiring", {});
    const content = { userId: "expiring", metadata: { m: 1 } };
    const before = await mutable.set("expire", "k", { deep: [1e2] }, content);
    expect(await mutable.expire("expire", "k", 60)).toBe(true);
    const after = await mutable.getRecord("expire", "k");
    expect(after).toMatchObject({
      value: { deep: [100] },
      ...content,
      createdAt: before.createdAt,
    });
    expect(BigInt(after?.revision ?? 0)).toBeGreaterThan(BigInt(before.revision));
    expect(after?.expiresAt?.getTime()).toBeGreaterThan(Date.now() + 50_000);
    expect(await mutable.touch("expire", "k", 0.2)).toBe(true); // it may be shortened
    await expect.poll(() => mutable.get("expire", "k")).toBeNull();
    expect(await mutable.expire("expire", "k", 60)).toBe(false);
    expect(await mutable.expire("expire", "never", 60)).toBe(false);
    for (const ttl of [0, -1, Number.NaN, undefined, "1"])
      await expect(mutable.expire("expire", "k", ttl as never)).rejects.toMatchObject({
        code: "INVALID_TTL",
      });
  });

  it("is a step of transactions", async () => {
    const { mutable } = s.cortex;
    await mutable.setMany("expire", { a: 1, b: 2 });
    const list = await mutable.transaction([
      { op: "expire", namespace: "expire", key: "a", ttlSeconds: 60 },
      { op: "increment", namespace: "expire", key: "a" },
    ]);
    expect(list.results).toMatchObject([{ value: 1 }, { value: 2, expiresAt: expect.any(Date) }]);
    await mutable.transaction((tx) => {
      tx.touch("expire", "b", 60);
      tx.store({ type: "t", id: "expired", data: {} });
    });
    expect((await mutable.getRecord("expire", "b"))?.expiresAt).toBeInstanceOf(Date);
    await expect(
      mutable.transaction([{ op: "touch", namespace: "expire", key: "none", ttlSeconds: 1 }]),
    ).rejects.toMatchObject({ code: "TRANSACTION_FAILED", details: { reason: "KEY_NOT_FOUND" } });
  });

  it("means nothing together with create_if_missing", async () => {
    const raw = new Raw(s.address);
    const operation = { case: "expire" as const, value: { ttlSeconds: 1 } };
    const request = { namespace: "expire", key: "a", operation, createIfMissing: true };
    expect(await raw.call(MutableStore.method.update, request)).toMatchObject({
      reason: "INVALID_OPTIONS",
    });
    raw.close();
  });

  it("once stores a value only if the key does not exist", async () => {
    const { mutable } = s.cortex;
    expect(await mutable.once("expire", "once", 1, { ttlSeconds: 0.2 })).toBe(true);
    expect(await mutable.once("expire", "once", 2)).toBe(false);
    await expect.poll(() => mutable.once("expire", "once", 2)).toBe(true);
  });
});
