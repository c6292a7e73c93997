import { expect, it } from "vitest";
import { Retention } from "../../server/config/retention.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(-1) });
async function versions(id: string, count: number) {
  const times = [];
  for (let n = 1; n <= count; n++)
    times.push((await s.cortex.immutable.store({ type: "t", id, data: { n } })).createdAt);
  return times as [Date, ...Date[]];
}
const kept = async (id: string) =>
  (await s.cortex.immutable.getHistory("t", id)).map(({ version }) => version);
const after = (time: Date | undefined) => new Date((time as Date).getTime() + 1);

it("keeps the latest, the current one counted", async () => {
  await versions("latest", 5);
  const purge = (keepLatest: number) =>
    s.cortex.immutable.purgeVersions("t", "latest", { keepLatest });
  expect(await purge(9)).toEqual({ versionsDeleted: 0, versionsRemaining: 5 });
  expect(await purge(3)).toEqual({ versionsDeleted: 2, versionsRemaining: 3 });
  expect(await kept("latest")).toEqual([3, 4, 5]);
  expect(await purge(1)).toEqual({ versionsDeleted: 2, versionsRemaining: 1 });
  expect(await purge(1)).toEqual({ versionsDeleted: 0, versionsRemaining: 1 });
  expect((await s.cortex.immutable.store({ type: "t", id: "latest", data: {} })).version).toBe(6);
  expect((await s.cortex.immutable.verifyHistory("t", "latest")).valid).toBe(true);
});

it("keeps what is not older than a time, and always the current version", async () => {
  const times = await versions("older", 4);
  const purge = (olderThan: Date) => s.cortex.immutable.purgeVersions("t", "older", { olderThan });
  expect(await purge(times[0])).toEqual({ versionsDeleted: 0, versionsRemaining: 4 });
  expect(await purge(after(times[0]))).toEqual({ versionsDeleted: 1, versionsRemaining: 3 });
  expect(await purge(times[2] as Date)).toEqual({ versionsDeleted: 1, versionsRemaining: 2 });
  expect(await kept("older")).toEqual([3, 4]);
  expect(await purge(new Date("9999-01-01"))).toEqual({ versionsDeleted: 1, versionsRemaining: 1 });
  expect(await kept("older")).toEqual([4]);
});

it("with both bounds deletes only the versions that each of them would delete", async () => {
  const times = await versions("both", 6);
  const purge = (keepLatest: number, olderThan: Date | undefined) =>
    s.cortex.immutable.purgeVersions("t", "both", { keepLatest, olderThan });
  expect(await purge(1, times[1])).toEqual({ versionsDeleted: 1, versionsRemaining: 5 });
  expect(await purge(4, new Date("9999-01-01"))).toEqual({
    versionsDeleted: 1,
    versionsRemaining: 4,
  });
  expect(await kept("both")).toEqual([3, 4, 5, 6]);
});

it("is zeros for a missing record", async () => {
  expect(await s.cortex.immutable.purgeVersions("t", "none", { keepLatest: 1 })).toEqual({
    versionsDeleted: 0,
    versionsRemaining: 0,
  });
});

it("is done once under a request id", async () => {
  await versions("once", 3);
  const purge = () =>
    s.cortex.immutable.purgeVersions("t", "once", { keepLatest: 1, requestId: "v" });
  expect(await purge()).toEqual({ versionsDeleted: 2, versionsRemaining: 1 });
  await versions("once", 3);
  expect(await purge()).toEqual({ versionsDeleted: 2, versionsRemaining: 1 });
  expect(await kept("once")).toEqual([3, 4, 5, 6]);
});

it("leaves an unbroken chain of digests while others store", async () => {
  await versions("race", 3);
  await Promise.all([
    ...Array.from({ length: 40 }, (_, i) =>
      s.cortex.immutable.store({ type: "t", id: "race", data: { i } }),
    ),
    ...Array.from({ length: 10 }, () =>
      s.cortex.immutable.purgeVersions("t", "race", { keepLatest: 2 }),
    ),
  ]);
  const { versionsRemaining } = await s.cortex.immutable.purgeVersions("t", "race", {
    keepLatest: 2,
  });
  expect(versionsRemaining).toBe(2);
  expect(await kept("race")).toEqual([42, 43]);
  expect(await s.sql`select 1 from immutable_version where id = 'race'`).toHaveLength(2);
  expect(await s.cortex.immutable.verifyHistory("t", "race")).toMatchObject({
    valid: true,
    versions: 2,
    firstVersion: 42,
  });
});

it("refuses missing and invalid bounds", async () => {
  const purge = (options: object) => s.cortex.immutable.purgeVersions("t", "latest", options);
  await expect(purge({})).toFailWith("INVALID_OPTIONS");
  for (const keepLatest of [0, -1])
    await expect(purge({ keepLatest })).toFailWith("INVALID_OPTIONS", { field: "keep_latest" });
  await expect(purge({ keepLatest: 1.5 })).toFailWith("INVALID_OPTIONS");
  await expect(purge({ olderThan: "2025" })).toFailWith("INVALID_TIME");
  await expect(purge({ keep: 1 })).toFailWith("INVALID_OPTIONS", { field: "keep" });
});
