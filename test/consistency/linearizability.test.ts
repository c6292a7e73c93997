// Checks linearizability: every operation, and every transaction, takes effect at one moment between its call
// and its answer. 16 clients work on 8 keys, and the test looks for an order of their calls that explains all
// answers and agrees with the clock. The first tests show that the checkers find errors.
import { describe, expect, it } from "vitest";
import { type Cortex, CortexError, type MutableRecord } from "../../client/index.js";
import {
  type ListTransaction,
  linearize,
  problem,
  random,
  type Step,
} from "../support/linearize.js";
import { serve } from "../support/server.js";

const s = serve();
const seeds = Number(process.env.LINEARIZABILITY_SEEDS ?? 1);
const clientsMax = 16;
const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];

interface State {
  value: string | null;
  revision: string | undefined;
}
const absent: State = { value: null, revision: undefined };
const nameOf = ({ value, revision }: State) => `${value} ${revision}`;
type History = Map<string, Step<State>[]>;
type Client = Pick<Cortex, "mutable">;

/** Runs an operation on one key, and records it with the states that its answer allows. */
async function record<T>(
  history: Step<State>[],
  work: () => Promise<T>,
  applied: (answer: T) => Step<State>["apply"],
  refused: Record<string, Step<State>["apply"]> = {},
): Promise<T | undefined> {
  const start = performance.now();
  let apply: Step<State>["apply"] | undefined;
  let answer: T | undefined;
  try {
    answer = await work();
    apply = applied(answer);
  } catch (error) {
    if (!(error instanceof CortexError)) throw error;
    apply = refused[error.code];
    if (!apply) throw error;
  }
  history.push({ start, end: performance.now(), apply });
  return answer;
}

const became = ({ value, revision }: MutableRecord): State => ({ value, revision });

async function operate(
  { mutable }: Client,
  namespace: string,
  history: History,
  next: () => number,
  token: string,
): Promise<void> {
  const key = keys[Math.floor(next() * keys.length)] as string;
  const steps = history.get(key) as Step<State>[];
  const choice = next();
  if (choice < 0.3)
    await record(
      steps,
      () => mutable.get<string>(namespace, key),
      (value) => (state) => (state.value === value ? state : undefined),
    );
  else if (choice < 0.45)
    await record(
      steps,
      () => mutable.set(namespace, key, token),
      (made) => () => became(made),
    );
  else if (choice < 0.65)
    await record(
      steps,
      () =>
        mutable.update<string | null>(namespace, key, (was) => `${was ?? ""}${token}`, {
          createIfMissing: true,
        }),
      (made) => (state) =>
        made.value === `${state.value ?? ""}${token}` ? became(made) : undefined,
    );
  else if (choice < 0.75)
    await record(
      steps,
      () => mutable.delete(namespace, key),
      ({ deleted }) =>
        (state) =>
          deleted === (state.value !== null) ? absent : undefined,
    );
  else if (choice < 0.85)
    await record(
      steps,
      () => mutable.set(namespace, key, token, { ifAbsent: true }),
      (made) => (state) => (state.value === null ? became(made) : undefined),
      { KEY_EXISTS: (state) => (state.value === null ? undefined : state) },
    );
  else {
    const found = await mutable.getRecord(namespace, key);
    if (!found) return;
    const ifRevision = found.revision;
    await record(
      steps,
      () => mutable.set(namespace, key, token, { ifRevision }),
      (made) => (state) => (state.revision === ifRevision ? became(made) : undefined),
      { REVISION_MISMATCH: (state) => (state.revision === ifRevision ? undefined : state) },
    );
  }
}

/** Lets the clients operate on the keys. Returns whether their history has an order. */
async function registers(clients: readonly Client[], seed: number): Promise<boolean> {
  const namespace = `registers-${seed}-${clients.length}-${performance.now()}`;
  const history: History = new Map(keys.map((key) => [key, []]));
  await Promise.all(
    clients.map(async (client, c) => {
      const next = random(seed * 1000 + c);
      for (let i = 0; i < 30; i++) await operate(client, namespace, history, next, `<${c}.${i}>`);
    }),
  );
  return [...history.values()].every((steps) => linearize(steps, absent, nameOf));
}

/**
 * Runs transactions that read some lists and append to some. If they have no valid order, returns the reason,
 * else undefined.
 */
async function lists(clients: readonly Client[], seed: number): Promise<string | undefined> {
  const namespace = `lists-${seed}-${clients.length}-${performance.now()}`;
  const history: ListTransaction[] = [];
  await Promise.all(
    clients.map(async ({ mutable }, c) => {
      const next = random(seed * 1000 + c);
      for (let i = 0; i < 8; i++) {
        const token = `${c}.${i}`;
        const some = keys.filter(() => next() < 0.3);
        const appends = some.filter(() => next() < 0.5);
        let reads: Record<string, readonly string[]> = {};
        const start = performance.now();
        await mutable.transaction(
          (tx) => {
            reads = {};
            for (const key of some) reads[key] = (tx.get(namespace, key) as string[] | null) ?? [];
            for (const key of appends) tx.set(namespace, key, [...(reads[key] ?? []), token]);
          },
          { maxAttempts: 100, timeoutMs: 60_000 },
        );
        history.push({ start, end: performance.now(), token, reads, appends });
      }
    }),
  );
  const final = await (clients[0] as Client).mutable.getMany<string[]>(namespace, keys);
  return problem(history, Object.fromEntries(keys.map((key, i) => [key, final[i] ?? []])));
}

describe("the checkers find", () => {
  it("a planted lost update: a get and a set in place of an update, between which another update comes", async () => {
    for (let round = 0; round < 5; round++) {
      const key = `lost-${round}`;
      const steps: Step<State>[] = [];
      const { mutable } = s.cortex;
      const update = (token: string, between?: () => Promise<unknown>) =>
        record(
          steps,
          async () => {
            if (!between) return mutable.update(key, key, (was) => was + token);
            const was = await mutable.get<string>(key, key);
            await between();
            return mutable.set(key, key, was + token);
          },
          (made) => (state) =>
            made.value === `${state.value ?? ""}${token}` ? became(made) : undefined,
        );
      await record(
        steps,
        () => mutable.set(key, key, "<0>"),
        (made) => () => became(made),
      );
      await update("<1>");
      await update("<2>");
      expect(linearize(steps, absent, nameOf)).toBe(true);
      await update("<3>", () => update("<4>"));
      await record(
        steps,
        () => mutable.get<string>(key, key),
        (value) => (state) => (state.value === value ? state : undefined),
      );
      expect(linearize(steps, absent, nameOf)).toBe(false);
    }
  });

  it("a planted stale read: an answer from before a write that was acknowledged", async () => {
    for (let round = 0; round < 5; round++) {
      const key = `stale-${round}`;
      const steps: Step<State>[] = [];
      const { mutable } = s.cortex;
      const get = (work: () => Promise<string | null>) =>
        record(steps, work, (value) => (state) => (state.value === value ? state : undefined));
      const set = (value: string) =>
        record(
          steps,
          () => mutable.set(key, key, value),
          (made) => () => became(made),
        );
      await set("<1>");
      const cached = await get(() => mutable.get<string>(key, key));
      expect(linearize(steps, absent, nameOf)).toBe(true);
      await set("<2>");
      await get(async () => cached ?? null);
      expect(linearize(steps, absent, nameOf)).toBe(false);
    }
  });

  it("a transaction that lost an append, one that read a stale list, and two that each missed the other", () => {
    const at = (n: number) => ({ start: n, end: n + 0.5 });
    const append = (token: string, key: string, read: string[], n: number): ListTransaction => ({
      ...at(n),
      token,
      reads: { [key]: read },
      appends: [key],
    });
    const sound = [append("1", "a", [], 1), append("2", "a", ["1"], 2)];
    expect(problem(sound, { a: ["1", "2"] })).toBeUndefined();
    expect(problem(sound, { a: ["2"] })).toBeDefined();
    expect(
      problem([...sound, { ...at(3), token: "3", reads: { a: ["1"] }, appends: [] }], {
        a: ["1", "2"],
      }),
    ).toBeDefined();
    const skew = (token: string, read: string, write: string): ListTransaction => ({
      start: 1,
      end: 2,
      token,
      reads: { [read]: [] },
      appends: [write],
    });
    expect(
      problem([skew("1", "a", "b"), skew("2", "b", "a")], { a: ["2"], b: ["1"] }),
    ).toBeDefined();
  });
});

describe.each(Array.from({ length: seeds }, (_, seed) => seed))("of seed %i", (seed) => {
  const clients = (addresses: readonly string[]) =>
    Array.from({ length: clientsMax }, (_, i) =>
      s.client({ address: addresses[i % addresses.length], timeoutMs: 60_000 }),
    );

  it("operations and transactions have an order, on one server and on two", async () => {
    const other = await s.another();
    for (const addresses of [[s.address], [s.address, other.address]]) {
      const all = clients(addresses);
      expect(await registers(all, seed)).toBe(true);
      expect(await lists(all, seed)).toBeUndefined();
      await Promise.all(all.map((client) => client.close()));
    }
    await other.stop();
  }, 300_000);
});
