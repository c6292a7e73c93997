// Forces races: a rival on another server locks a record and stores a version, and commits it while the
// tested call waits for the lock.
import { beforeAll, expect, it } from "vitest";
import type { Immutable } from "../../client/index.js";
import { Retention } from "../../server/config/retention.js";
import { RawTransaction } from "../support/raw.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(-1, new Map([["one", 1]])) });
let immutable: Immutable;
beforeAll(() => {
  immutable = s.cortex.immutable;
});

const operation = (type: string, id: string, data: object) => ({
  operation: {
    case: "store" as const,
    value: { type, id, dataJson: JSON.stringify(data) },
  },
});

/**
 * Begins a transaction on another server and stores a version in it. The record stays locked until `commit`.
 */
async function rival(type: string, id: string) {
  const { address } = await s.another();
  const transaction = new RawTransaction(address);
  await transaction.ask({ case: "begin", value: {} });
  await transaction.ask({
    case: "write",
    value: { operations: [operation(type, id, { by: "rival" })] },
  });
  return {
    async commit() {
      await transaction.ask({ case: "commit", value: {} });
      transaction.close();
    },
  };
}

/** Waits until `count` statements wait in the database for a lock. */
const waiting = (count: number) =>
  expect
    .poll(
      async () =>
        (
          await s.sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        ).length,
      { interval: 5, timeout: 10_000 },
    )
    .toBeGreaterThanOrEqual(count);

const rows = async (id: string) =>
  (await s.sql`select version from immutable_version where id = ${id} order by version`).map(
    ({ version }) => version,
  );

it("a store that waited follows the version stored meanwhile, and retention deletes that version", async () => {
  for (let n = 0; n < 2; n++) await immutable.store({ type: "one", id: "a", data: { n } });
  const first = await rival("one", "a");
  const stored = immutable.store({ type: "one", id: "a", data: { by: "me" } });
  await waiting(1);
  await first.commit();
  expect((await stored).version).toBe(4);
  expect(await rows("a")).toEqual([4]);
  expect(await immutable.verifyHistory("one", "a")).toMatchObject({ valid: true, versions: 1 });
});

it("a store of a record that another creates meanwhile is its second version", async () => {
  const first = await rival("t", "new");
  const stored = immutable.store({ type: "t", id: "new", data: {} });
  await waiting(1);
  await first.commit();
  expect(await stored).toMatchObject({ version: 2, previousVersions: [{ data: { by: "rival" } }] });
});

it("a store with ifVersion that waited is refused if a version was stored meanwhile", async () => {
  await immutable.store({ type: "t", id: "if", data: {} });
  const first = await rival("t", "if");
  const stored = immutable.store({ type: "t", id: "if", data: {} }, { ifVersion: 1 });
  const refused = expect(stored).toFailWith("VERSION_MISMATCH", { current_version: "2" });
  await waiting(1);
  await first.commit();
  await refused;
});

it("purgeVersions that waited counts the version that was stored meanwhile", async () => {
  for (let n = 0; n < 3; n++) await immutable.store({ type: "t", id: "purged", data: { n } });
  const first = await rival("t", "purged");
  const purged = immutable.purgeVersions("t", "purged", { keepLatest: 1 });
  await waiting(1);
  await first.commit();
  expect(await purged).toEqual({ versionsDeleted: 3, versionsRemaining: 1 });
  expect(await rows("purged")).toEqual([4]);
});

it("a confirmed purge that waited finds its token stale", async () => {
  await immutable.store({ type: "confirmed", id: "c", data: {} });
  const { confirmationToken } = await immutable.purgeMany(
    { type: "confirmed" },
    { requireConfirmation: true },
  );
  const first = await rival("confirmed", "c");
  const refused = expect(
    immutable.purgeMany({ type: "confirmed" }, { confirmationToken }),
  ).toFailWith("CONFIRMATION_STALE");
  await waiting(1);
  await first.commit();
  await refused;
  expect(await rows("c")).toEqual([1, 2]);
});

it("a purge that waited also deletes the version that was stored meanwhile", async () => {
  await immutable.store({ type: "t", id: "gone", data: {} });
  const first = await rival("t", "gone");
  const purged = immutable.purge("t", "gone");
  await waiting(1);
  await first.commit();
  expect(await purged).toMatchObject({ deleted: true, versionsDeleted: 2 });
  expect(await rows("gone")).toEqual([]);
});

it("a store in a transaction succeeds after it waited; the transaction need not begin anew", async () => {
  await immutable.store({ type: "t", id: "tx", data: {} });
  const first = await rival("t", "tx");
  const transaction = new RawTransaction(s.address);
  await transaction.ask({ case: "begin", value: {} });
  const written = transaction.ask({
    case: "write",
    value: { operations: [operation("t", "tx", { by: "me" })] },
  });
  await waiting(1);
  await first.commit();
  expect(await written).toMatchObject({
    value: { results: [{ result: { value: { current: { version: 3 } } } }] },
  });
  await transaction.ask({ case: "commit", value: {} });
  transaction.close();
  expect(await rows("tx")).toEqual([1, 2, 3]);
});

it("a Commit that stores a new record succeeds even if another call creates the record meanwhile", async () => {
  const first = await rival("t", "commit");
  const done = s.cortex.mutable.transaction([
    { op: "store", type: "t", id: "commit", data: {} },
    { op: "set", namespace: "ns", key: "commit", value: 1 },
  ]);
  await waiting(1);
  await first.commit();
  expect((await done).results[0]).toMatchObject({ version: 2 });
  expect(await s.cortex.mutable.get("ns", "commit")).toBe(1);
});

it("a Commit that stores is repeated if the database ends a deadlock at its expense", async () => {
  await immutable.store({ type: "t", id: "deadlock", data: {} });
  await s.cortex.mutable.set("ns", "deadlock", 0);
  const rival = await s.sql.reserve();
  await rival`begin`;
  await rival`select from immutable where id = 'deadlock' for update`;
  const done = s.cortex.mutable.transaction([
    { op: "increment", namespace: "ns", key: "deadlock" },
    { op: "store", type: "t", id: "deadlock", data: {} },
  ]);
  await waiting(1);
  // Each waits for the other now. The transaction waited first, so it finds the deadlock first.
  await rival`select from mutable where key = 'deadlock' for update`;
  await rival`commit`;
  rival.release();
  expect((await done).results).toMatchObject([{ value: 1 }, { version: 2 }]);
});

it("times increase even if the database's clock was set back; a store waits for the clock only briefly", async () => {
  const ahead = async (interval: string) => {
    await s.sql`update immutable set created_at = clock_timestamp() + ${interval}::text::interval where id = 'clock'`;
    const [row] = await s.sql`
      update immutable_version v set created_at = h.created_at from immutable h
      where v.id = 'clock' and h.id = v.id and v.version = h.version returning v.created_at`;
    return Number(row?.created_at);
  };
  await immutable.store({ type: "t", id: "clock", data: {} });
  const soon = await ahead("30 milliseconds");
  const { createdAt } = await immutable.store({ type: "t", id: "clock", data: {} });
  expect(createdAt.getTime()).toBeGreaterThan(soon);
  const [clock] = await s.sql`select clock_timestamp() as now`;
  // The store waited until the database's clock reached the time of the version.
  expect(Number(clock?.now)).toBeGreaterThanOrEqual(createdAt.getTime());
  const late = await ahead("1 hour");
  expect((await immutable.store({ type: "t", id: "clock", data: {} })).createdAt.getTime()).toBe(
    late + 1,
  );
});
