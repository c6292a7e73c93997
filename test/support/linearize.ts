// Checkers of timed histories. `linearize` looks for an order of one key's operations that agrees with their times and their answers
// (the search of Wing and Gong, with memory). `cycle` looks for transactions that cannot be put in any order: of lists that
// transactions append to and read, the order of versions is known, and with it who must come before whom.

export interface Timed {
  /** When it was called, and when its answer came. */
  start: number;
  end: number;
}

/** One operation on one key: what it makes of a state; undefined where its answer cannot be had in that state. */
export interface Step<State> extends Timed {
  apply(state: State): State | undefined;
}

/** Whether there is an order; `initial` is the state before all. */
export function linearize<State>(
  history: readonly Step<State>[],
  initial: State,
  name: (state: State) => string,
): boolean {
  const steps = [...history].sort((a, b) => a.start - b.start);
  const seen = new Set<string>();
  // A node: the first step that is not done yet, those after it that are, and the state. Depth first, by hand: histories are long.
  const stack: { low: number; done: ReadonlySet<number>; state: State }[] = [
    { low: 0, done: new Set(), state: initial },
  ];
  for (let node = stack.pop(); node; node = stack.pop()) {
    const { low, done, state } = node;
    if (low === steps.length) return true;
    let bound = Number.POSITIVE_INFINITY; // nothing that began after another ended may come before it
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

/** A transaction on lists: what it read of each, and the one token that it appended to some. */
export interface ListTransaction extends Timed {
  token: string;
  reads: Record<string, readonly string[]>;
  appends: readonly string[];
}

/** Why the transactions have no order; undefined where they have one. `final` is what each list held in the end. */
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
      if (appends.includes(key) && !list.includes(token)) throw new Lost(key, token);
      const read = reads[key];
      if (!read) return;
      if (read.some((one, at) => one !== list[at])) throw new Lost(key, read.join());
      before(places.get(read.at(-1) ?? ""), i); // it saw that one's append
      before(i, places.get(list[read.length] ?? "")); // and not that one's
    });
  }
  history.forEach(({ end }, a) => {
    history.forEach(({ start }, b) => {
      if (end < start) before(a, b);
    });
  });
  return found(after) ? "some transactions come before each other" : undefined;
}

/** A read that is no beginning of the final list, or an append that is not in it. */
class Lost extends Error {
  constructor(key: string, what: string) {
    super(`${what} is not in ${key}`);
  }
}

export function problem(
  history: readonly ListTransaction[],
  final: Record<string, readonly string[]>,
): string | undefined {
  try {
    return cycle(history, final);
  } catch (error) {
    if (error instanceof Lost) return error.message;
    throw error;
  }
}

/** Whether the graph has a circle: what is left when whatever nothing comes before has been taken away. */
function found(after: readonly ReadonlySet<number>[]): boolean {
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

/** Numbers in [0, 1) from a seed (mulberry32). */
export function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
