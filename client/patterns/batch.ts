// Batches with a checkpoint: they go on where they were after a crash, and record each item once.
import { CortexError, refused } from "../core/error.js";
import type { Surface } from "../scopes/scope.js";
import { claimName } from "./derived-names.js";
import { unwrapErrors } from "./unwrap-errors.js";

export interface BatchOptions {
  /** How many items this call works on at most. Default: all that are left. */
  batchSize?: number | undefined;
  /** Milliseconds to wait if another process works on the batch. Default: 0. */
  waitMs?: number | undefined;
  /** If the process that works on the batch dies, another may go on after this many seconds. Default: 30. */
  claimSeconds?: number | undefined;
}

/** How far a batch is. */
export interface BatchProgress<R = any> {
  processed: number;
  total: number;
  complete: boolean;
  /** The results that this call has recorded, in the order of the items. */
  results: R[];
}

/** A checkpoint as it is stored. */
interface Checkpoint {
  processed: number;
  total: number;
}

const isCheckpoint = ({ processed, total }: Checkpoint) =>
  Number.isInteger(processed) && Number.isInteger(total);

/** The key of a result. All numbers have 15 digits, so that the keys sort in the order of the items. */
const resultKey = (key: string, index: number) => `${key}:${String(index).padStart(15, "0")}`;

/**
 * Works on a list of items, from the checkpoint that is stored under a key. The result of each item and the new
 * checkpoint are stored in one transaction, under a claim: each item is recorded once, in order, whatever crashes. An
 * item may be worked on again if the process dies before its result is stored.
 *
 * @param items The same list in each call.
 * @param work Gives the result of an item: any JSON value.
 * @returns How far the batch is. `batchResults` reads all results.
 * @throws CortexError CLAIM_NOT_HELD if another process works on the batch; INVALID_BATCH if the list has another
 * length than when the batch began; FENCE_STALE if this process lost the claim meanwhile; what `mutable.set` throws for a
 * result; and what `work` throws. Then the results of the items before the failed one are stored.
 *
 * ```ts
 * const { processed, total } = await processBatch(cortex, "imports", "2026-11", rows, (row) => load(row));
 * ```
 */
export async function processBatch<I, R>(
  cortex: Surface,
  namespace: string,
  key: string,
  items: readonly I[],
  work: (item: I, index: number) => Promise<R> | R,
  { batchSize, waitMs = 0, claimSeconds: ttlSeconds = 30 }: BatchOptions = {},
): Promise<BatchProgress<R>> {
  if (!Array.isArray(items)) throw refused("INVALID_BATCH", "items", "is not a list");
  if (typeof work !== "function") throw refused("INVALID_OPTIONS", "work", "is not a function");
  const total = items.length;
  const size = batchSize ?? total;
  if (!Number.isInteger(size) || size < Math.min(total, 1))
    throw refused("INVALID_BATCH", "batchSize", `is not a whole number above 0: ${batchSize}`);
  const name = claimName("batch", namespace, key);
  const progress = await cortex.claims.with(name, { ttlSeconds, waitMs }, async (claim) => {
    const checkpoint = await cortex.mutable.get<Checkpoint>(namespace, key);
    if (checkpoint !== null && !isCheckpoint(checkpoint))
      throw refused("INVALID_DATA", "key", `${key} holds no checkpoint of a batch`);
    if (checkpoint !== null && checkpoint.total !== total) throw otherList(checkpoint.total, total);
    let processed = checkpoint?.processed ?? 0;
    const results: R[] = [];
    while (processed < total && results.length < size) {
      const result = (await work(items[processed] as I, processed)) ?? (null as R);
      const [value, index] = [{ processed: processed + 1, total }, processed];
      await unwrapErrors(() =>
        claim.mutable.transaction([
          { op: "set", namespace, key: resultKey(key, index), value: result },
          { op: "set", namespace, key, value },
        ]),
      );
      results.push(result);
      processed++;
    }
    return { processed, total, complete: processed >= total, results };
  });
  if (progress) return progress;
  const message = `another process works on ${key}`;
  throw new CortexError("CLAIM_NOT_HELD", message, { claim: name });
}

const otherList = (before: number, now: number) =>
  refused("INVALID_BATCH", "items", `has ${now} elements, but had ${before} when the batch began`);

/** The results of a batch so far, in the order of its items, in constant memory. */
export async function* batchResults<R = any>(
  cortex: Surface,
  namespace: string,
  key: string,
): AsyncGenerator<R, void, undefined> {
  const prefix = `${key}:`;
  for await (const record of cortex.mutable.scan<R>(namespace, { keyPrefix: prefix }))
    if (/^\d{15}$/.test(record.key.slice(prefix.length))) yield record.value;
}
