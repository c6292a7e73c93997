// Consistency checkers of timed histories. `linearize` searches for an order of one key's operations that
// agrees with their times and answers (Wing and Gong's search, with memoization). `problem` checks that
// transactions are strictly serializable. The transactions append to lists and read them, so the final lists
// show which transaction must come before which. A cycle means that there is no order.

export interface Timed {
  /** The time of the call; `end` is the time of its answer. */
  start: number;
  end: number;
}

/**
 * One operation on one key. `apply` gives the next state, or undefined if the operation could not have given
 * its answer in that state.
 */
export interface Step<State> extends Timed {
  apply(state: State): State | undefined;
}

/**
 * Returns whether the operations have a valid order. `initial` is the state before the first operation.
 * `name` gives each state a different text.
 */
export function linearize<State>(
  history: readonly Step<State>[],
  initial: State,
  name: (state: State) => string,
): boolean {
  const steps = [...history].sort((a, b) => a.start - b.start);
  const seen = new Set<string>();
  // A depth-first search. Its stack is explicit, because histories are too long for recursion. A node holds
  // the first step that is not done, the later steps that are done, and the state.
  const stack: { low: number; done: ReadonlySet<number>; state: State }[] = [
    { low: 0, done: new Set(), state: initial },
  ];
  for (let node = stack.pop(); node; node = stack.pop()) {
    const { low, done, state } = node;
    if (low === steps.length) return true;
    let bound = Number.POSITIVE_INFINITY; // a step that began after another ended must come after it
    for (let i = low; i < steps.length; i++) {
      const step = steps[i] as Step<State>;
      if (step.start > bound) break;
      if (done.has(i)) continue;
      bound = Math.min(bound, step.end);
      const next = step.apply(state);
      if (next === undefined) continue;
      const after = new Set(done).add(i);
      let first = low;
      while (after.delete(first)) first++;
      const id = `${first}|${[...after].sort((a, b) => a - b)}|${name(next)}`;
      if (seen.has(id)) continue;
      seen.add(id);
      stack.push({ low: first, done: after, state: next });
    }
  }
  return false;
}

/**
 * A transaction on lists. `reads` has the content of each list that it read. It appended its unique `token`
 * to each list in `appends`.
 */
export interface ListTransaction extends Timed {
  token: string;
  reads: Record<string, readonly string[]>;
  appends: readonly string[];
}

/**
 * Returns why the transactions have no valid order, or undefined if they have one. `final` has the content of
 * each list at the end.
 */
export function cycle(
  history: readonly ListTransaction[],
  final: Record<string, readonly string[]>,
): string | undefined {
  const places = new Map<string, number>();
  history.forEach((transaction, i) => {
    places.set(transaction.token, i);
  });
  const after = history.map(() => new Set<number>());
  const before = (a: number | undefined, b: number | undefined) => {
    if (a !== undefined && b !== undefined && a !== b) after[a]?.add(b);
  };
  for (const [key, list] of Object.entries(final)) {
    if (new Set(list).size !== list.length) return `a token is twice in ${key}`;
    for (let i = 1; i < list.length; i++)
      before(places.get(list[i - 1] as string), places.get(list[i] as string));
    history.forEach(({ token, reads, appends }, i) => {
      if (appends.includes(key) && !list.includes(token)) throw new LostAppend(key, token);
      const read = reads[key];
      if (!read) return;
      if (read.some((one, at) => one !== list[at])) throw new LostAppend(key, read.join());
      before(places.get(read.at(-1) ?? ""), i); // the read saw this append
      before(i, places.get(list[read.length] ?? "")); // the read did not see this append
    });
  }
  history.forEach(({ end }, a) => {
    history.forEach(({ start }, b) => {
      if (end < start) before(a, b);
    });
  });
  return hasCycle(after) ? "some transactions come before each other" : undefined;
}

/** Thrown if a read is not a prefix of the final list, or an append is missing from it. */
class LostAppend extends Error {
  constructor(key: string, what: string) {
    super(`${what} is not in ${key}`);
  }
}

/** Does the same as `cycle`, but returns a lost append as a reason and does not throw it. */
export function problem(
  history: readonly ListTransaction[],
  final: Record<string, readonly string[]>,
): string | undefined {
  try {
    return cycle(history, final);
  } catch (error) {
    if (error instanceof LostAppend) return error.message;
    throw error;
  }
}

/**
 * Returns whether the graph has a cycle. It removes nodes without predecessors one by one. The nodes that
 * remain are in or behind a cycle.
 */
function hasCycle(after: readonly ReadonlySet<number>[]): boolean {
  const earlier = after.map(() => 0);
  for (const set of after) for (const b of set) earlier[b] = (earlier[b] ?? 0) + 1;
  const free = earlier.flatMap((n, i) => (n === 0 ? i : []));
  let taken = 0;
  for (let a = free.pop(); a !== undefined; a = free.pop()) {
    taken++;
    for (const b of after[a] ?? []) {
      earlier[b] = (earlier[b] ?? 0) - 1;
      if (earlier[b] === 0) free.push(b);
    }
  }
  return taken < after.length;
}

/** A generator of random numbers in [0, 1) from a seed (mulberry32). */
export function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
