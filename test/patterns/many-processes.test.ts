// Each pattern under 16 processes, of which some are killed (kill -9) at random and started again. What comes out is
// exact. The samples of the specification, as they stand, are caught by the same checks.
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import { batchResults, searchIndex, stateOf, transitionsOf } from "../../client/patterns/index.js";
import {
  addedBy,
  batchItems,
  index,
  jobs,
  type Pattern,
  stepsOf,
} from "../support/pattern-work.js";
import { cleanEnvironment, root } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve({ retention: { defaultVersions: -1, byType: new Map() } });
const workers = 16;
const kills = Number(process.env.PATTERN_KILLS ?? 20);
const program = join(root, ".scratch", "pattern-worker.mjs");

beforeAll(() => {
  buildSync({
    entryPoints: [join(root, "test", "support", "pattern-worker.ts")],
    outfile: program,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
  });
});

/** Runs the workers to their end, and kills some of them on the way. */
async function run(patterns: readonly Pattern[], killing: number): Promise<void> {
  const running = new Set<ChildProcess>();
  let killed = 0;
  let events = 0;
  const work = (worker: number, done: Record<string, number>): Promise<void> =>
    new Promise((resolve, reject) => {
      const args = [program, s.address, `${worker}`, JSON.stringify(done)];
      const env = { ...cleanEnvironment(), PATTERN_STEPS: process.env.PATTERN_STEPS };
      const child = spawn(process.execPath, args, { env });
      running.add(child);
      let [out, err] = ["", ""];
      child.stderr.on("data", (data) => {
        err += data;
      });
      child.stdout.on("data", (data) => {
        out += data;
        // Somebody dies from time to time, in the middle of a step.
        if (killed < killing && ++events % 20 === 0) {
          killed++;
          [...running][randomInt(running.size)]?.kill("SIGKILL");
        }
      });
      child.once("close", (code, signal) => {
        running.delete(child);
        for (const [, pattern = "", step] of out.matchAll(/^(\S+) (\d+)$/gm))
          if (pattern in done) done[pattern] = Number(step) + 1;
        if (out.includes("done")) resolve();
        else if (signal === "SIGKILL") work(worker, done).then(resolve, reject);
        else reject(new Error(`worker ${worker} ended with ${code}: ${err}`));
      });
    });
  const none = Object.fromEntries(patterns.map((pattern) => [pattern, 0]));
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker, { ...none })));
  expect(killed).toBe(killing);
}

const total = workers * stepsOf("counter");
const ids = Array.from({ length: total }, (_, i) => `${i % workers}-${Math.floor(i / workers)}`);
const values = ids.map((id) => {
  const [worker = 0, step = 0] = id.split("-").map(Number);
  return Number(addedBy(worker, step));
});
const tenths = values.map((value) => Math.round(value * 10));

const checks = {
  counter: async (ns: string) => expect(await s.cortex.mutable.get(ns, "n")).toBe(total),
  list: async (ns: string) =>
    expect((await s.cortex.mutable.get<string[]>(ns, "l"))?.toSorted()).toEqual(ids.toSorted()),
  statistics: async (ns: string) => {
    const sum = tenths.reduce((a, b) => a + b, 0);
    const squares = tenths.reduce((a, b) => a + b * b, 0);
    expect(await s.cortex.mutable.get(ns, "s")).toMatchObject({
      count: total,
      sum: sum / 10,
      min: 0,
      max: Math.max(...values),
    });
    const { mean, variance } = await s.cortex.mutable.get(ns, "s");
    expect(mean).toBeCloseTo(sum / 10 / total, 10);
    expect(variance).toBeCloseTo((total * squares - sum * sum) / total / total / 100, 8);
  },
};

describe("exactly what was done comes out", () => {
  beforeAll(
    () =>
      run(["counter", "list", "statistics", "batch", "index", "machine", "lock", "cache"], kills),
    1_200_000,
  );

  it.each(["counter", "list", "statistics"] as const)("%s", async (pattern) => {
    await checks[pattern](pattern);
  });

  it("batch: each item is recorded once, in order", async () => {
    const results = [];
    for await (const result of batchResults(s.cortex, "batch", "b")) results.push(result);
    expect(results).toEqual(batchItems.map((item) => item * 2));
    expect(await s.cortex.mutable.get("batch", "b")).toEqual({
      processed: batchItems.length,
      total: batchItems.length,
    });
  });

  it("index: each word has exactly the documents that have it", async () => {
    const left = ids.filter((id) => Number(id.split("-")[1]) % 5 !== 0);
    const again = left.filter((id) => Number(id.split("-")[1]) % 3 === 0);
    const first = left.filter((id) => !again.includes(id));
    const found = async (word: string) =>
      (await searchIndex(s.cortex, index, word, { limit: 1000 })).map(({ id }) => id).toSorted();
    expect(await found("all")).toEqual(first.toSorted());
    expect(await found("again")).toEqual(again.toSorted());
    expect(await found("worker3")).toEqual(first.filter((id) => id.startsWith("3-")).toSorted());
    const documents = await s.cortex.mutable.count(index.documents);
    expect(documents).toBe(left.length);
    // The index holds a key for each word of a document, and the list of its words.
    expect(await s.cortex.mutable.count(index.index)).toBe(
      first.length * 3 + again.length + left.length,
    );
  });

  it("machine: each transition is recorded once, and goes on from the one before", async () => {
    const { step, state } = await stateOf(s.cortex, jobs, "shared");
    const history = await transitionsOf(s.cortex, jobs, "shared");
    expect(history.map(({ data }) => data.step)).toEqual(history.map((_, i) => i + 1));
    for (const [i, { data }] of history.entries())
      expect([data.from, data.to]).toEqual(
        i % 2 === 0 ? ["waiting", "running"] : ["running", "waiting"],
      );
    expect([step, state]).toEqual([history.length, history.at(-1)?.data.to]);
    expect(step).toBeGreaterThan(0);
  });

  it("lock: what is read and written under it is not lost", async () => {
    await checks.list("lock");
  });

  it("cache: a value is computed once, and again only if its process was killed", async () => {
    const computed = await s.cortex.mutable.list("cache-computed");
    expect(computed.total).toBe(stepsOf("cache"));
    const times = computed.records.reduce((sum, { value }) => sum + value, 0);
    expect(times).toBeLessThanOrEqual(stepsOf("cache") + kills);
    for (const { key } of computed.records)
      expect(await s.cortex.mutable.get("cache", key)).toEqual({ page: Number(key.slice(5)) });
  });
});

describe("the samples as they stand are caught", () => {
  beforeAll(
    () => run(["naive-counter", "naive-list", "naive-statistics", "naive-batch", "naive-index"], 0),
    1_200_000,
  );

  it.each(["counter", "list", "statistics"] as const)("%s", async (pattern) => {
    await expect(checks[pattern](`naive-${pattern}`)).rejects.toThrow();
  });

  it("batch: items are recorded twice", async () => {
    const recorded = await s.cortex.mutable.get("naive-batch", "recorded");
    expect(recorded.length).toBeGreaterThan(batchItems.length);
  });

  it("index: documents are missing from the list of a word", async () => {
    const all = await s.cortex.mutable.get<string[]>("naive-index", "all");
    expect(new Set(all).size).toBeLessThan(total);
  });
});
