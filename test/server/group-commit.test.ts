// Calls that share statements, on a real lane: who goes with whom, who waits, and what becomes of the others when one fails.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CortexError } from "../../server/errors/reasons.js";
import { type Batchable, GroupCommit } from "../../server/runtime/group-commit.js";
import { CallCancellation } from "../../server/runtime/in-flight.js";
import { serve } from "../support/server.js";
import { tenantPool } from "../support/tenant-pool.js";

const s = serve();
let one: ReturnType<typeof tenantPool>;
beforeAll(() => {
  one = tenantPool(s.databaseUrl, 4);
});
afterAll(() => one.close());

interface Call {
  divisor: number;
  touches?: string[];
  alone?: boolean;
  seconds?: number;
}
const never = new CallCancellation();

/** A statement that divides a hundred by each call's number, and what it was sent. */
function dividing() {
  const batches: number[][] = [];
  const shared: Batchable<Call & { tenant: string }, number> = {
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
    weight: () => 1,
    conflictKeys: ({ touches = [], alone = false }) =>
      touches.map((name) => ({ name, batchable: !alone })),
  };
  const share = new GroupCommit(shared, one.pool, 1000);
  const ask = (call: Call, ending: CallCancellation) =>
    share.submit({ tenant: "", ...call }, ending);
  return { share: { ask }, batches };
}

describe("calls that arrive together", () => {
  it("share statements, and each gets its own reply", async () => {
    const { share, batches } = dividing();
    const numbers = Array.from({ length: 500 }, (_, i) => i + 1);
    const replies = await Promise.all(numbers.map((divisor) => share.ask({ divisor }, never)));
    expect(replies).toEqual(numbers.map((divisor) => Math.floor(100 / divisor)));
    expect(batches.length).toBeLessThan(40);
    expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(128);
    expect(batches.flat().sort((a, b) => a - b)).toEqual(numbers); // each once
  });

  it("do not suffer from one that is bad: it fails alone", async () => {
    const { share } = dividing();
    const outcomes = await Promise.allSettled(
      [1, 2, 0, 5, 0, 10].map((divisor) => share.ask({ divisor }, never)),
    );
    expect(
      outcomes.map((one) => (one.status === "fulfilled" ? one.value : one.reason.code)),
    ).toEqual([100, 50, "22012", 20, "22012", 10]);
  });

  it("on one key go together where they may, in order, and never in two statements at a time", async () => {
    const { share, batches } = dividing();
    const on = (divisor: number, more: Partial<Call> = {}) =>
      share.ask({ divisor, touches: ["k"], seconds: 0.05, ...more }, never);
    const first = on(1);
    await new Promise(setImmediate); // on its way
    await Promise.all([
      first,
      on(2),
      on(4),
      on(5, { alone: true }),
      on(10),
      share.ask({ divisor: 20 }, never),
    ]);
    expect(batches).toEqual([[1], [20], [2, 4], [5], [10]]);
  });
});

describe("a call that is given up", () => {
  it("before its statement is sent is not done; the others are", async () => {
    const { share, batches } = dividing();
    const ending = new CallCancellation();
    const gone = share.ask({ divisor: 2 }, ending);
    const stays = share.ask({ divisor: 4 }, never);
    ending.cancel(new CortexError("CANCELLED"));
    await expect(gone).rejects.toMatchObject({ reason: "CANCELLED" });
    expect(await stays).toBe(25);
    expect(batches).toEqual([[4]]);
  });

  it("later does not disturb those who share its statement; where nobody is left, it is cancelled", async () => {
    const { share } = dividing();
    const [one, two] = [new CallCancellation(), new CallCancellation()];
    const ask = (ending: CallCancellation, seconds: number) =>
      share.ask({ divisor: 2, seconds }, ending);
    const both = [ask(one, 0.3), ask(two, 0.3)];
    await new Promise((resolve) => setTimeout(resolve, 100));
    one.cancel(new CortexError("CANCELLED"));
    expect(await Promise.all(both)).toEqual([50, 50]);

    const [three, four] = [new CallCancellation(), new CallCancellation()];
    const start = performance.now();
    const outcomes = Promise.allSettled([ask(three, 20), ask(four, 20)]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    three.cancel(new CortexError("CANCELLED"));
    four.cancel(new CortexError("DEADLINE_EXCEEDED"));
    expect((await outcomes).map((one) => one.status === "rejected" && one.reason.reason)).toEqual([
      "CANCELLED",
      "DEADLINE_EXCEEDED",
    ]);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});
