// Random operations, one after the other, against the server and against a model in memory: they agree on every answer.
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Cortex, CortexError } from "../client/index.js";
import { serve } from "./support/server.js";

const s = serve();
const runs = Number(process.env.MODEL_RUNS ?? 40);

interface Entry {
  value: unknown;
  metadata: Record<string, unknown>;
  accessCount: number;
  revision: string;
}
type Model = Map<string, Entry>;
interface Real {
  cortex: Cortex;
  namespace: string;
}
type Step = (model: Model, real: Real) => Promise<void>;

const keys = ["a", "a:1", "a:2", "b", "%", "é"];
const neverReached = "9223372036854775807"; // a low one may be the very first the database gave
const key = fc.constantFrom(...keys);
const value = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.constantFrom(null, "text", [], [1], {}, { x: { y: 1 }, z: null }),
);
const code = async (work: Promise<unknown>) => {
  try {
    await work;
    return "OK";
  } catch (error) {
    if (error instanceof CortexError) return error.code;
    throw error;
  }
};
const bytewise = (model: Model) =>
  [...model].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

function write(
  model: Model,
  at: string,
  change: { value: unknown; metadata?: Record<string, unknown> },
  revision: string,
) {
  const before = model.get(at);
  if (before) expect(BigInt(revision)).toBeGreaterThan(BigInt(before.revision));
  model.set(at, {
    metadata: before?.metadata ?? {},
    accessCount: before?.accessCount ?? 0,
    ...change,
    revision,
  });
}

const step = fc.oneof<fc.Arbitrary<Step>[]>(
  fc
    .tuple(
      key,
      value,
      fc.option(fc.dictionary(fc.constantFrom("m", "n"), fc.integer()), { nil: undefined }),
    )
    .map(([at, v, metadata]) => async (model, { cortex, namespace }) => {
      const record = await cortex.mutable.set<unknown>(namespace, at, v, { metadata });
      write(
        model,
        at,
        { value: v, ...(metadata && { metadata: { ...metadata } }) },
        record.revision,
      );
      const { accessCount, ...expected } = model.get(at) as Entry;
      expect(record).toMatchObject({ ...expected });
    }),
  fc
    .tuple(key, value, fc.constantFrom("absent", "current", "stale"))
    .map(([at, v, condition]) => async (model, { cortex, namespace }) => {
      const before = model.get(at);
      const options =
        condition === "absent"
          ? { ifAbsent: true }
          : { ifRevision: condition === "current" && before ? before.revision : neverReached };
      const holds =
        condition === "absent" ? !before : condition === "current" && before !== undefined;
      const outcome = await code(
        cortex.mutable
          .set<unknown>(namespace, at, v, options)
          .then((record) => write(model, at, { value: v }, record.revision)),
      );
      expect(outcome).toBe(
        holds ? "OK" : condition === "absent" ? "KEY_EXISTS" : "REVISION_MISMATCH",
      );
    }),
  fc.tuple(key).map(([at]) => async (model, { cortex, namespace }) => {
    expect((await cortex.mutable.delete(namespace, at)).deleted).toBe(model.delete(at));
  }),
  fc.tuple(key).map(([at]) => async (model, { cortex, namespace }) => {
    const entry = model.get(at);
    expect(await cortex.mutable.get(namespace, at)).toEqual(entry ? entry.value : null);
    if (entry) entry.accessCount++;
  }),
  fc.tuple(key).map(([at]) => async (model, { cortex, namespace }) => {
    const record = await cortex.mutable.getRecord(namespace, at);
    const entry = model.get(at);
    if (entry) expect(record).toMatchObject({ ...entry });
    else expect(record).toBeNull();
  }),
  fc
    .tuple(key, fc.integer({ min: -3, max: 3 }), fc.boolean())
    .map(([at, amount, createIfMissing]) => async (model, { cortex, namespace }) => {
      const before = model.get(at);
      const numeric = before
        ? before.value === null || typeof before.value === "number"
        : createIfMissing;
      const next = Number(before?.value ?? 0) + amount;
      const outcome = await code(
        cortex.mutable.increment(namespace, at, amount, { createIfMissing }).then((record) => {
          expect(record.value).toBe(next);
          write(model, at, { value: next }, record.revision);
        }),
      );
      expect(outcome).toBe(numeric ? "OK" : before ? "VALUE_NOT_NUMERIC" : "KEY_NOT_FOUND");
    }),
  fc
    .tuple(key, value, fc.boolean())
    .map(([at, element, createIfMissing]) => async (model, { cortex, namespace }) => {
      const before = model.get(at);
      const outcome = await code(
        cortex.mutable.append(namespace, at, element, { createIfMissing }).then((record) => {
          write(
            model,
            at,
            { value: [...((before?.value as unknown[]) ?? []), element] },
            record.revision,
          );
          expect(record.value).toEqual(model.get(at)?.value);
        }),
      );
      expect(outcome).toBe(
        before
          ? Array.isArray(before.value)
            ? "OK"
            : "VALUE_NOT_ARRAY"
          : createIfMissing
            ? "OK"
            : "KEY_NOT_FOUND",
      );
    }),
  fc.tuple(key, value).map(([at, v]) => async (model, { cortex, namespace }) => {
    const outcome = await code(
      cortex.mutable
        .update(namespace, at, (current: unknown) => ({ was: current, now: v }))
        .then((record) => write(model, at, { value: record.value }, record.revision)),
    );
    expect(outcome).toBe(model.has(at) ? "OK" : "KEY_NOT_FOUND");
  }),
  fc
    .tuple(fc.uniqueArray(key, { maxLength: 4 }), value)
    .map(([some, v]) => async (model, { cortex, namespace }) => {
      const records = await cortex.mutable.setMany(
        namespace,
        some.map((at) => ({ key: at, value: v })),
      );
      expect(records.map((record) => record.key)).toEqual(some);
      for (const record of records) write(model, record.key, { value: v }, record.revision);
      expect(await cortex.mutable.getMany(namespace, keys)).toEqual(
        keys.map((at) => model.get(at)?.value ?? null),
      );
    }),
  fc
    .tuple(fc.constantFrom("a", "a:", "b", "%", "zz"))
    .map(([keyPrefix]) => async (model, { cortex, namespace }) => {
      const matching = bytewise(model)
        .map(([at]) => at)
        .filter((at) => at.startsWith(keyPrefix));
      const { deleted, keys: gone } = await cortex.mutable.purgeMany(namespace, { keyPrefix });
      expect([deleted, gone]).toEqual([matching.length, matching]);
      for (const at of matching) model.delete(at);
    }),
  fc
    .record({
      sortBy: fc.constantFrom("key" as const, "accessCount" as const),
      sortOrder: fc.constantFrom("asc" as const, "desc" as const),
      limit: fc.integer({ min: 1, max: 5 }),
      offset: fc.integer({ min: 0, max: 4 }),
      keyPrefix: fc.constantFrom(undefined, "a", "a:"),
    })
    .map((filters) => async (model, { cortex, namespace }) => {
      const { sortBy, sortOrder, limit, offset, keyPrefix = "" } = filters;
      const sorted = bytewise(model).filter(([at]) => at.startsWith(keyPrefix));
      if (sortBy === "accessCount") sorted.sort(([, a], [, b]) => a.accessCount - b.accessCount); // stable: ties by key
      if (sortOrder === "desc") sorted.reverse();
      const result = await cortex.mutable.list(namespace, filters);
      expect(result).toMatchObject({
        total: sorted.length,
        limit,
        offset,
        hasMore: sorted.length > offset + limit,
      });
      expect(result.records.map((r) => [r.key, r.accessCount])).toEqual(
        sorted.slice(offset, offset + limit).map(([at, entry]) => [at, entry.accessCount]),
      );
      expect(await cortex.mutable.count(namespace, { keyPrefix: filters.keyPrefix })).toBe(
        sorted.length,
      );
    }),
);

it("agrees with the model", async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const real = { cortex: s.cortex, namespace: `run-${run++}` };
      const model: Model = new Map();
      for (const take of steps) await take(model, real);
    }),
    { numRuns: runs },
  );
}, 600_000);
