// Tests group commit on a real connection pool: which calls share a statement, which wait, and what happens
// to the others when one fails.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CortexError } from "../../server/errors/reasons.js";
import { type Batchable, GroupCommit } from "../../server/runtime/group-commit.js";
import { CallCancellation } from "../../server/runtime/in-flight.js";
import { serve } from "../support/server.js";
import { tenantPool } from "../support/tenant-pool.js";

const s = serve();
let connections: ReturnType<typeof tenantPool>;
beforeAll(() => {
  connections = tenantPool(s.databaseUrl, 4);
});
afterAll(() => connections.close());

interface Call {
  divisor: number;
  conflictKeys?: string[];
  alone?: boolean;
  seconds?: number;
  weight?: number;
}
const never = new CallCancellation();

/**
 * Makes a group commit whose statement divides 100 by the `divisor` of each call. `batches` lists the
 * divisors of each batch.
 */
function divisions(waitingMax = 1000, separate?: (calls: Call[]) => number[][]) {
  const batches: number[][] = [];
  const kind: Batchable<Call & { tenant: string }, number> = {
    async run(run, calls) {
      batches.push(calls.map(({ divisor }) => divisor));
      const rows = await run<{ quotient: number }>(
        (sql) => sql`
          select 100 / divisor as quotient, pg_sleep(${Math.max(...calls.map((c) => c.seconds ?? 0))}::float8)
          from unnest(${calls.map(({ divisor }) => divisor)}::int[]) with ordinality as asked (divisor, number)
          order by number`,
      );
      return rows.map(({ quotient }) => quotient);
    },
    ...(separate && { separate }),
    lane: "writes",
    weight: ({ weight = 1 }) => weight,
    conflictKeys: ({ conflictKeys = [], alone = false }) =>
      conflictKeys.map((name) => ({ name, batchable: !alone })),
  };
  const groupCommit = new GroupCommit(kind, connections.pool, waitingMax);
  const submit = (call: Call & { tenant?: string }, cancellation: CallCancellation) =>
    groupCommit.submit({ tenant: "", ...call }, cancellation);
  return { submit, batches };
}

describe("calls that arrive together", () => {
  it("share statements, and each gets its own reply", async () => {
    const { submit, batches } = divisions();
    const numbers = Array.from({ length: 500 }, (_, i) => i + 1);
    const replies = await Promise.all(numbers.map((divisor) => submit({ divisor }, never)));
    expect(replies).toEqual(numbers.map((divisor) => Math.floor(100 / divisor)));
    expect(batches.length).toBeLessThan(40);
    expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(128);
    expect(batches.flat().sort((a, b) => a - b)).toEqual(numbers); // each number once
  });

  it("run as parts with outcomes of their own: if one fails, the others are not run again", async () => {
    const { submit, batches } = divisions(1000, (calls) => {
      const numbers = calls.map((_, i) => i);
      const isGood = (i: number) => calls[i]?.divisor !== 0;
      return [numbers.filter(isGood), numbers.filter((i) => !isGood(i))];
    });
    const outcomes = await Promise.allSettled(
      [1, 0, 2].map((divisor) => submit({ divisor }, never)),
    );
    expect(outcomes).toMatchObject([
      { value: 100 },
      { reason: { code: "22012" } }, // division_by_zero
      { value: 50 },
    ]);
    expect(batches).toEqual([[1, 2], [0]]);
  });

  it("do not suffer from one that is bad: it fails alone", async () => {
    const { submit } = divisions();
    const outcomes = await Promise.allSettled(
      [1, 2, 0, 5, 0, 10].map((divisor) => submit({ divisor }, never)),
    );
    expect(
      outcomes.map((outcome) =>
        outcome.status === "fulfilled" ? outcome.value : outcome.reason.code,
      ),
    ).toEqual([100, 50, "22012", 20, "22012", 10]);
  });

  it("on one key share a statement unless one must be alone; they run in order, never in two statements at a time", async () => {
    const { submit, batches } = divisions();
    const on = (divisor: number, more: Partial<Call> = {}) =>
      submit({ divisor, conflictKeys: ["k"], seconds: 0.05, ...more }, never);
    const first = on(1);
    await new Promise(setImmediate); // by now the first batch has been sent
    await Promise.all([
      first,
      on(2),
      on(4),
      on(5, { alone: true }),
      on(10),
      submit({ divisor: 20 }, never),
    ]);
    expect(batches).toEqual([[1], [20], [2, 4], [5], [10]]);
  });
});

describe("tenants", () => {
  it("take turns for the places in a batch: three calls are not behind 500 of another tenant", async () => {
    const { submit, batches } = divisions();
    const first = submit({ divisor: 1, conflictKeys: ["k"], seconds: 0.05 }, never);
    await new Promise(setImmediate);
    const many = Array.from({ length: 500 }, () => submit({ divisor: 2, tenant: "many" }, never));
    const few = [4, 5, 10].map((divisor) => submit({ divisor, tenant: "few" }, never));
    await Promise.all([first, ...many, ...few]);
    const [, , ...later] = batches; // the first 500 calls may be in one batch when the others come
    expect(batches.findIndex((batch) => batch.includes(10))).toBeLessThanOrEqual(2);
    expect(later.flat().filter((divisor) => divisor === 2).length).toBeGreaterThan(200);
  });

  it("get heavy calls done beside a tenant whose calls never end", async () => {
    const { submit } = divisions();
    let isDone = false;
    const busy = Array.from({ length: 500 }, async () => {
      while (!isDone) await submit({ divisor: 2, tenant: "busy" }, never);
    });
    for (const weight of [120, 128, 65])
      expect(await submit({ divisor: 4, tenant: "heavy", weight }, never)).toBe(25);
    isDone = true;
    await Promise.all(busy);
  });

  it("have queues of their own: who fills his is refused, others are not", async () => {
    const { submit } = divisions(20);
    const busy = submit({ divisor: 1, conflictKeys: ["k"], seconds: 0.2 }, never);
    await new Promise(setImmediate);
    const on = (tenant: string) =>
      submit({ divisor: 2, tenant, conflictKeys: ["k"] }, never).catch((error) => error.reason);
    const full = Array.from({ length: 21 }, () => on("full"));
    const other = Array.from({ length: 20 }, () => on("other"));
    const third = on("third");
    expect(await Promise.all([busy, ...full])).toEqual([100, ...Array(20).fill(50), "OVERLOADED"]);
    expect(await Promise.all(other)).toEqual(Array(20).fill(50));
    expect(await third).toBe("OVERLOADED"); // of all together, twice as many may wait
  });
});

it("a batch with one bad call is halved until that call is alone", async () => {
  const { submit, batches } = divisions();
  const outcomes = await Promise.allSettled(
    Array.from({ length: 64 }, (_, i) => submit({ divisor: i === 37 ? 0 : 2 }, never)),
  );
  expect(outcomes.flatMap(({ status }, i) => (status === "rejected" ? [i] : []))).toEqual([37]);
  expect(batches.length).toBeLessThan(20);
});

describe("a call that is given up", () => {
  it("before its statement is sent is not done; the others are", async () => {
    const { submit, batches } = divisions();
    const cancellation = new CallCancellation();
    const gone = submit({ divisor: 2 }, cancellation);
    const stays = submit({ divisor: 4 }, never);
    cancellation.cancel(new CortexError("CANCELLED"));
    await expect(gone).rejects.toMatchObject({ reason: "CANCELLED" });
    expect(await stays).toBe(25);
    expect(batches).toEqual([[4]]);
  });

  it("later does not disturb the calls that share its statement; once all are given up, the statement is cancelled", async () => {
    const { submit } = divisions();
    const [one, two] = [new CallCancellation(), new CallCancellation()];
    const sleep = (cancellation: CallCancellation, seconds: number) =>
      submit({ divisor: 2, seconds }, cancellation);
    const both = [sleep(one, 0.3), sleep(two, 0.3)];
    await new Promise((resolve) => setTimeout(resolve, 100));
    one.cancel(new CortexError("CANCELLED"));
    expect(await Promise.all(both)).toEqual([50, 50]);

    const [three, four] = [new CallCancellation(), new CallCancellation()];
    const start = performance.now();
    const outcomes = Promise.allSettled([sleep(three, 20), sleep(four, 20)]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    three.cancel(new CortexError("CANCELLED"));
    four.cancel(new CortexError("DEADLINE_EXCEEDED"));
    expect(
      (await outcomes).map((outcome) => outcome.status === "rejected" && outcome.reason.reason),
    ).toEqual(["CANCELLED", "DEADLINE_EXCEEDED"]);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});
