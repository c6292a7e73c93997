// Counters, lists and statistics that many callers add to.
import { CortexError, refused } from "../core/error.js";
import { ExactNumber, textsOf } from "../core/numbers.js";
import { amountText } from "../core/validate.js";
import type { Transaction } from "../mutable/transactions/callback.js";
import type { Surface } from "../scopes/scope.js";
import { add, compare, type Decimal, decimalOf, multiply, ratio, textOf } from "./decimal.js";
import { countId, doneKey } from "./derived-names.js";
import { unwrapErrors } from "./unwrap-errors.js";

export interface AddOptions {
  /**
   * An id for this addition: any text that is not empty. Several calls with the same id within 24 hours, from any process, add
   * only once. Use it if the caller may die before it gets the answer. Default: each call adds. A later call gives
   * the number that the first call of `count` gave; the list or the statistics as they are then.
   */
  id?: string | undefined;
}

/**
 * Adds to a counter, which begins at 0, and gives its new value.
 *
 * ```ts
 * const runs = await count(cortex, "stats", "runs");
 * ```
 *
 * @param by A number, a bigint or decimal text: exact. Default: 1.
 * @throws CortexError VALUE_NOT_NUMERIC, INVALID_AMOUNT, REQUEST_ID_REUSED (the id with another amount).
 */
export async function count(
  cortex: Surface,
  namespace: string,
  key: string,
  by: number | string | bigint = 1,
  { id }: AddOptions = {},
): Promise<number> {
  const options = {
    createIfMissing: true,
    ...(id !== undefined && { requestId: countId(cortex.path, namespace, key, id) }),
  };
  return (await cortex.mutable.increment(namespace, key, by, options)).value;
}

/**
 * Appends to a list, which begins empty and keeps its last `maxLength` elements. Gives the list.
 *
 * ```ts
 * const items = await appendBounded(cortex, "runs", "last", { id, at: new Date() }, { maxLength: 100 });
 * ```
 *
 * @throws CortexError VALUE_NOT_ARRAY, KEY_NOT_FOUND (deleted since the first call under this id), INVALID_LIMIT
 * (`maxLength`), INVALID_VALUE, VALUE_TOO_LARGE.
 */
export async function appendBounded<T = any>(
  cortex: Surface,
  namespace: string,
  key: string,
  element: T,
  { maxLength, id }: { maxLength: number } & AddOptions,
): Promise<T[]> {
  if (!Number.isInteger(maxLength) || maxLength < 1)
    throw refused("INVALID_LIMIT", "maxLength", `is not a whole number above 0: ${maxLength}`);
  return updateOnce<T[]>(cortex, namespace, key, id, (list) => {
    if (list !== null && !Array.isArray(list))
      throw refused("VALUE_NOT_ARRAY", key, "does not hold a list");
    return [...(list ?? []), element].slice(-maxLength);
  });
}

/** Running statistics. */
export interface Statistics {
  count: number;
  sum: number | bigint | ExactNumber;
  min: number | bigint | ExactNumber;
  max: number | bigint | ExactNumber;
  mean: number;
  /** The mean of the squared distances to the mean (of the population): 0 for one value. */
  variance: number;
}

/** Statistics as they are stored. */
interface Stored extends Statistics {
  /** The exact sum of the squares. */
  squares: number | bigint | ExactNumber;
}

/**
 * Adds a value to running statistics, and gives them. Sum, minimum and maximum are exact decimals: 0.1 added ten
 * times is 1. Mean and variance are computed from exact sums, and then rounded.
 *
 * ```ts
 * const { count, mean } = await addToStatistics(cortex, "stats", "latency-ms", 12.5);
 * ```
 *
 * @param value A number, a bigint or decimal text, of at most 100 digits, below 1e150.
 * @throws CortexError INVALID_AMOUNT; KEY_NOT_FOUND (deleted since the first call under this id); INVALID_DATA if the
 * key holds something else.
 */
export async function addToStatistics(
  cortex: Surface,
  namespace: string,
  key: string,
  value: number | string | bigint,
  { id }: AddOptions = {},
): Promise<Statistics> {
  const added = addedNumber(amountText(value));
  const stored = await updateOnce<Stored>(cortex, namespace, key, id, (before) =>
    statisticsWith(before, added),
  );
  const { squares: _, ...statistics } = stored;
  return statistics;
}

/** Within these limits, the store holds the square of a number too. */
function addedNumber(text: string): Decimal {
  const added = decimalOf(text);
  const digits = `${added?.digits}`.replace(/^-|0+$/g, "").length;
  if (added && digits <= 100 && added.scale <= 150 && Math.abs(Number(text)) < 1e150) return added;
  const problem = `is not a decimal number of at most 100 digits, below 1e150: ${text}`;
  throw refused("INVALID_AMOUNT", "value", problem);
}

const daySeconds = 86_400;

/**
 * Changes a value by a function; with an id, only the first call under that id changes it. Gives the value after the
 * change; for a later call, the current value. What the function throws is thrown.
 */
async function updateOnce<T>(
  cortex: Surface,
  namespace: string,
  key: string,
  id: string | undefined,
  change: (value: T | null) => T,
): Promise<T> {
  const options = { createIfMissing: true };
  if (id === undefined) {
    const update = () => cortex.mutable.update<any>(namespace, key, change, options);
    return (await unwrapErrors(update)).value;
  }
  const [done, marker] = [`${namespace}:done`, doneKey(key, id)];
  const work = (tx: Transaction): { value: T } => {
    const [wasDone, before] = [tx.get(done, marker), tx.get<T>(namespace, key)];
    if (wasDone && before === null) throw deletedSince(namespace, key);
    if (wasDone) return { value: before as T };
    const next = change(before);
    tx.update(namespace, key, () => next, options);
    tx.set(done, marker, true, { ttlSeconds: daySeconds });
    return { value: next };
  };
  return (await unwrapErrors(() => cortex.mutable.transaction(work))).value;
}

function deletedSince(namespace: string, key: string): CortexError {
  const message = `the value was added under this id before, and ${key} has been deleted since`;
  return new CortexError("KEY_NOT_FOUND", message, { namespace, key });
}

function statisticsWith(before: Stored | null, added: Decimal): Stored {
  const count = (before?.count ?? 0) + 1;
  const sum = before ? add(exactly(before, "sum"), added) : added;
  const square = multiply(added, added);
  const squares = before ? add(exactly(before, "squares"), square) : square;
  const [min, max] = before ? [exactly(before, "min"), exactly(before, "max")] : [added, added];
  const n = { digits: BigInt(count), scale: 0 };
  // n * squares - sum², over n²: exact up to the division.
  const spread = add(multiply(n, squares), negative(multiply(sum, sum)));
  return {
    count,
    sum: numberOf(sum),
    min: numberOf(compare(added, min) < 0 ? added : min),
    max: numberOf(compare(added, max) > 0 ? added : max),
    mean: ratio(sum, n),
    variance: ratio(spread, multiply(n, n)),
    squares: numberOf(squares),
  };
}

const negative = ({ digits, scale }: Decimal): Decimal => ({ digits: -digits, scale });

/** A stored number with all its digits. */
function exactly(stored: Stored, name: "sum" | "min" | "max" | "squares"): Decimal {
  const text = textsOf(stored)?.get(name);
  const found = decimalOf(typeof text === "string" ? text : String(stored[name]));
  if (!found)
    throw refused("INVALID_DATA", name, "is not a number: the key does not hold statistics");
  return found;
}

/** The number if JavaScript has it, else one that is written with all its digits. */
function numberOf(decimal: Decimal): number | bigint | ExactNumber {
  const text = textOf(decimal);
  const near = Number(text);
  const same = decimalOf(String(near));
  if (same && compare(same, decimal) === 0) return near;
  return decimal.scale === 0 ? BigInt(text) : new ExactNumber(text);
}
