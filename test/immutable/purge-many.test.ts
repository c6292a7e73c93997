import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();
const store = (type: string, id: string, more = {}) =>
  s.cortex.immutable.store({ type, id, data: {}, ...more });

it("deletes what list with the same filters lists, all of it, and counts it with dryRun", async () => {
  for (const id of ["1", "2"]) for (let n = 0; n < 3; n++) await store("log", id);
  await store("policy", "1");
  const expected = {
    recordsAffected: 2,
    versionsDeleted: 6,
    records: [
      { type: "log", id: "1" },
      { type: "log", id: "2" },
    ],
  };
  expect(await s.cortex.immutable.purgeMany({ type: "log" }, { dryRun: true })).toEqual({
    ...expected,
    dryRun: true,
  });
  expect(await s.cortex.immutable.count()).toBe(3);
  expect(await s.cortex.immutable.purgeMany({ type: "log" })).toEqual({
    ...expected,
    dryRun: false,
  });
  expect(await s.cortex.immutable.count()).toBe(1);
  expect(await s.sql`select 1 from immutable_version where type = 'log'`).toHaveLength(0);
  expect(await s.cortex.immutable.purgeMany({ type: "log" })).toEqual({
    recordsAffected: 0,
    versionsDeleted: 0,
    records: [],
    dryRun: false,
  });
});

it("names the first 1000 records", async () => {
  await s.sql`
    insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, metadata, digest, labels, data_text, data_words)
    select '', 'bulk', lpad(n::text, 5, '0'), 1, 1, now(), now(), '{}', sha256(n::text::bytea), '{}', '', '' from generate_series(1, 1500) n`;
  const { recordsAffected, records } = await s.cortex.immutable.purgeMany({ type: "bulk" });
  expect([recordsAffected, records.length, records[999]]).toEqual([
    1500,
    1000,
    { type: "bulk", id: "01000" },
  ]);
});

it("with requireConfirmation deletes only exactly what was seen", async () => {
  for (const id of ["1", "2"]) await store("c", id);
  const ask = () => s.cortex.immutable.purgeMany({ type: "c" }, { requireConfirmation: true });
  const confirm = (confirmationToken: string | undefined, filters = { type: "c" }) =>
    s.cortex.immutable.purgeMany(filters, { requireConfirmation: true, confirmationToken });
  const first = await ask();
  expect(first).toMatchObject({
    recordsAffected: 2,
    dryRun: false,
    confirmationToken: expect.any(String),
  });
  expect(await s.cortex.immutable.count({ type: "c" })).toBe(2);
  expect(await ask()).toEqual(first);

  // Every change of the matching records makes the token stale: one more record, a new version, one record
  // fewer, one purged and stored again.
  const changes: [string, () => Promise<unknown>][] = [
    ["one more", () => store("c", "3")],
    ["another version", () => store("c", "1")],
    ["one fewer", () => s.cortex.immutable.purge("c", "3")],
    [
      "the same anew",
      async () => {
        await s.cortex.immutable.purge("c", "2");
        await store("c", "2");
      },
    ],
  ];
  for (const [, change] of changes) {
    const { confirmationToken } = await ask();
    const before = await s.cortex.immutable.count({ type: "c" });
    await change();
    const after = await s.cortex.immutable.count({ type: "c" });
    await expect(confirm(confirmationToken)).toFailWith("CONFIRMATION_STALE");
    expect(await s.cortex.immutable.count({ type: "c" })).toBe(after);
    expect([before, after]).not.toContain(0);
  }
  await store("d", "1");
  const { confirmationToken } = await ask();
  await expect(confirm(confirmationToken, { type: "d" })).toFailWith("CONFIRMATION_STALE");
  expect(await confirm(confirmationToken)).toMatchObject({ recordsAffected: 2, dryRun: false });
  expect(await s.cortex.immutable.count({ type: "c" })).toBe(0);
  await expect(confirm(confirmationToken)).toFailWith("CONFIRMATION_STALE");
  await expect(confirm("")).toFailWith("CONFIRMATION_STALE");
  await expect(confirm("nonsense")).toFailWith("CONFIRMATION_STALE");
  // A token given without requireConfirmation is honoured too.
  await expect(
    s.cortex.immutable.purgeMany({ type: "d" }, { confirmationToken: "nonsense" }),
  ).toFailWith("CONFIRMATION_STALE");
});

it("is done once under a request id", async () => {
  await store("once", "1");
  const first = await s.cortex.immutable.purgeMany({ type: "once" }, { requestId: "m" });
  await store("once", "1");
  expect(await s.cortex.immutable.purgeMany({ type: "once" }, { requestId: "m" })).toEqual(first);
  expect(await s.cortex.immutable.count({ type: "once" })).toBe(1);
  await expect(s.cortex.immutable.purgeMany({ type: "other" }, { requestId: "m" })).toFailWith(
    "REQUEST_ID_REUSED",
  );
});

it("refuses a purge of everything, and options that contradict each other", async () => {
  const purge = (filters: object, options = {}) => s.cortex.immutable.purgeMany(filters, options);
  await expect(purge({})).toFailWith("INVALID_FILTER");
  await expect(purge({ metadata: {} })).toFailWith("INVALID_FILTER");
  await expect(purge({ limit: 5 })).toFailWith("INVALID_FILTER");
  await expect(purge({ type: "t" }, { dryRun: true, confirmationToken: "x" })).toFailWith(
    "INVALID_OPTIONS",
  );
  await expect(purge({ type: "t" }, { force: true })).toFailWith("INVALID_OPTIONS");
});
