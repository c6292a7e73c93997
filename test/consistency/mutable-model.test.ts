// Runs random operations, one after the other, on the server and on a model in memory. Both must agree on
// every answer.
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Cortex, CortexError } from "../../client/index.js";
import { type Failure, RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve();
const runs = Number(process.env.MODEL_RUNS ?? 15);

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
const neverReached = "9223372036854775807"; // a low number could be a real revision
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

type Operation = { key: string; value?: unknown; createIfMissing?: boolean } & {
  op: "set" | "update" | "increment" | "append" | "delete";
};

/** Applies an operation of a transaction to the model. Returns whether it can be applied. */
function applies(model: Model, { op, key: at, value: v, createIfMissing }: Operation): boolean {
  const before = model.get(at);
  const keep = (next: unknown) => {
    const fresh = { metadata: {}, accessCount: 0, revision: "" };
    model.set(at, { ...(before ?? fresh), value: next });
    return true;
  };
  switch (op) {
    case "set":
      return keep(v);
    case "update":
      return before !== undefined && keep(v);
    case "increment":
      if (!before) return createIfMissing === true && keep(1);
      if (before.value !== null && typeof before.value !== "number") return false;
      return keep(Number(before.value ?? 0) + 1);
    case "append":
      return Array.isArray(before?.value) && keep([...before.value, v]);
    case "delete":
      return model.delete(at);
  }
}

const inOneCommit = async ({ cortex, namespace }: Real, operations: Operation[]) =>
  (await cortex.mutable.transaction(operations.map((o) => ({ ...o, namespace })) as never)).results;

/** Runs the operations through Transact, with one message for each. */
async function underLocks({ namespace }: Real, operations: Operation[]) {
  const transaction = new RawTransaction(s.address);
  try {
    await transaction.ask({ case: "begin", value: {} });
    const results: { revision: string }[] = [];
    for (const { op, key: at, value: v, createIfMissing = false } of operations) {
      const json = { valueJson: JSON.stringify(v ?? null) };
      const operation = {
        set: { case: "set", value: json },
        update: { case: "replace", value: json },
        increment: { case: "increment", value: {} },
        append: { case: "append", value: json },
        delete: { case: "delete", value: {} },
      }[op] as never;
      const answer = await transaction.ask({
        case: "write",
        value: { operations: [{ namespace, key: at, operation, createIfMissing }] },
      });
      const result = answer.case === "written" ? answer.value.results[0]?.result : undefined;
      results.push(result?.case === "record" ? result.value : ({} as never));
    }
    await transaction.ask({ case: "commit", value: {} });
    return results;
  } catch (error) {
    throw new CortexError((error as Failure).reason as never, (error as Failure).message);
  } finally {
    transaction.close();
  }
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
  fc
    .tuple(
      fc.array(
        fc.oneof(
          fc.record({ op: fc.constant("set" as const), key, value }),
          fc.record({ op: fc.constant("update" as const), key, value }),
          fc.record({ op: fc.constant("increment" as const), key, createIfMissing: fc.boolean() }),
          fc.record({ op: fc.constant("append" as const), key, value }),
          fc.record({ op: fc.constant("delete" as const), key }),
        ),
        { minLength: 1, maxLength: 6 },
      ),
      fc.boolean(),
    )
    .map(([operations, locked]) => async (model, real) => {
      const after: Model = new Map([...model].map(([at, entry]) => [at, { ...entry }]));
      const failure = operations.findIndex((operation) => !applies(after, operation));
      const outcome = await code(
        (locked ? underLocks(real, operations) : inOneCommit(real, operations)).then((results) => {
          results.forEach((result, i) => {
            const at = operations[i]?.key ?? "";
            if ("revision" in result && after.has(at))
              (after.get(at) as Entry).revision = result.revision;
          });
          model.clear();
          for (const [at, entry] of after) model.set(at, entry);
        }),
      );
      expect(outcome).toBe(failure < 0 ? "OK" : "TRANSACTION_FAILED");
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
      // The sort is stable, so ties stay sorted by key.
      if (sortBy === "accessCount") sorted.sort(([, a], [, b]) => a.accessCount - b.accessCount);
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
