// One of many processes that use patterns at once. Arguments: ADDRESS WORKER DONE. DONE is JSON: the number of steps that
// were made, by pattern. It prints a line for each step that is acknowledged, and "done" at the end, so that after a kill
// it can be started again where it was. Patterns whose names begin with "naive" do as the samples of the specification.
import { Cortex } from "../../client/index.js";
import {
  addToStatistics,
  appendBounded,
  cacheAside,
  count,
  indexDocument,
  processBatch,
  removeDocument,
  transition,
  withLock,
} from "../../client/patterns/index.js";
import {
  addedBy,
  batchItems,
  index,
  jobs,
  type Pattern,
  stepsOf,
  wordsOf,
} from "./pattern-work.js";

const [address = "", worker = "", done = "{}"] = process.argv.slice(2);
const cortex = new Cortex({ address, agentId: `worker-${worker}`, timeoutMs: 60_000 });
const { mutable } = cortex;
/** The namespace of the pattern that is at work. */
let ns = "";

// biome-ignore lint/suspicious/noExplicitAny: the samples do not know what is stored
type Loose = any;

/** Changes a value as the samples do: by a get, and a set after it. */
async function naively(key: string, change: (value: Loose) => unknown): Promise<void> {
  await mutable.set(ns, key, change(await mutable.get(ns, key)));
}

const steps: Record<Pattern, (step: number, id: string) => Promise<unknown>> = {
  counter: (_, id) => count(cortex, ns, "n", 1, { id }),
  list: (_, id) => appendBounded(cortex, ns, "l", id, { maxLength: 10_000, id }),
  statistics: (step, id) => addToStatistics(cortex, ns, "s", addedBy(Number(worker), step), { id }),
  batch: () =>
    processBatch(
      cortex,
      ns,
      "b",
      batchItems,
      (item) => {
        console.log(`item ${item}`);
        return item * 2;
      },
      { waitMs: 60_000, claimSeconds: 1 },
    ),
  index: async (step, id) => {
    const words = wordsOf(Number(worker), step);
    await indexDocument(cortex, index, id, { id }, words);
    // Every third document gets other words, and every fifth is removed.
    if (step % 3 === 0) await indexDocument(cortex, index, id, { id, again: true }, { again: 1 });
    if (step % 5 === 0) await removeDocument(cortex, index, id);
  },
  machine: (step, id) =>
    transition(cortex, jobs, "shared", step % 2 === 0 ? "running" : "waiting", { data: id }).catch(
      (error) => {
        if (error.code !== "TRANSITION_NOT_ALLOWED") throw error; // another worker made it
      },
    ),
  lock: (_, id) =>
    withLock(
      cortex,
      "resource",
      async (lock) => {
        const before = (await mutable.get<string[]>(ns, "l")) ?? [];
        if (!before.includes(id)) await lock.mutable.set(ns, "l", [...before, id]);
      },
      { ttlSeconds: 2, waitMs: 60_000 },
    ),
  cache: (step) =>
    cacheAside(
      cortex,
      ns,
      `page-${step}`,
      async () => {
        await mutable.increment(`${ns}-computed`, `page-${step}`, 1, { createIfMissing: true });
        return { page: step };
      },
      { ttlSeconds: 3600, claimSeconds: 2 },
    ),
  "naive-counter": () => naively("n", (n) => (n ?? 0) + 1),
  "naive-list": (_, id) => naively("l", (list) => [...(list ?? []), id]),
  "naive-statistics": (step) =>
    naively("s", (s) => {
      const value = Number(addedBy(Number(worker), step));
      const stats = s ?? { count: 0, sum: 0, min: null, max: null };
      return {
        count: stats.count + 1,
        sum: stats.sum + value,
        min: stats.min ? Math.min(stats.min, value) : value,
        max: stats.max ? Math.max(stats.max, value) : value,
      };
    }),
  "naive-batch": async () => {
    const checkpoint = (await mutable.get(ns, "b")) ?? { processed: 0, results: [] };
    for (const item of batchItems.slice(checkpoint.processed)) {
      checkpoint.results.push(item * 2);
      checkpoint.processed++;
      await mutable.append(ns, "recorded", item, { createIfMissing: true });
      await mutable.set(ns, "b", checkpoint);
    }
  },
  "naive-index": async (step, id) => {
    await mutable.set(index.documents, id, { id });
    for (const word of Object.keys(wordsOf(Number(worker), step)))
      await naively(word, (ids) => [...(ids ?? []), id]);
  },
};

for (const [pattern, from] of Object.entries(JSON.parse(done)) as [Pattern, number][])
  for (let i = from; i < stepsOf(pattern); i++) {
    ns = pattern;
    await steps[pattern](i, `${worker}-${i}`);
    console.log(`${pattern} ${i}`);
  }
console.log("done");
await cortex.close();
