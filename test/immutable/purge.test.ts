import { expect, it } from "vitest";
import { Retention } from "../../server/config/retention.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(3) });

it("deletes a record with all its versions; the id begins again at 1", async () => {
  for (let n = 1; n <= 5; n++) await s.cortex.immutable.store({ type: "t", id: "a", data: { n } });
  await s.cortex.immutable.store({ type: "t", id: "b", data: {} });
  const before = Date.now() - 5000;
  const purged = await s.cortex.immutable.purge("t", "a");
  expect(purged).toEqual({
    deleted: true,
    type: "t",
    id: "a",
    versionsDeleted: 3,
    purgedAt: expect.any(Date),
  });
  expect(purged.purgedAt.getTime()).toBeGreaterThan(before);
  expect(await s.cortex.immutable.get("t", "a")).toBeNull();
  expect(await s.cortex.immutable.getHistory("t", "a")).toEqual([]);
  expect(
    (await s.sql`select id from immutable_version where type = 't'`).map(({ id }) => id),
  ).toEqual(["b"]);
  expect(await s.cortex.immutable.purge("t", "a")).toMatchObject({
    deleted: false,
    versionsDeleted: 0,
  });
  expect((await s.cortex.immutable.store({ type: "t", id: "a", data: {} })).version).toBe(1);
});

it("is done once under a request id", async () => {
  await s.cortex.immutable.store({ type: "t", id: "once", data: {} });
  const first = await s.cortex.immutable.purge("t", "once", { requestId: "p" });
  await s.cortex.immutable.store({ type: "t", id: "once", data: {} });
  expect(await s.cortex.immutable.purge("t", "once", { requestId: "p" })).toEqual(first);
  expect(await s.cortex.immutable.get("t", "once")).not.toBeNull();
  await expect(s.cortex.immutable.purge("t", "b", { requestId: "p" })).toFailWith(
    "REQUEST_ID_REUSED",
  );
});

it("also deletes the versions that others store while it waits", async () => {
  for (let round = 0; round < 20; round++) {
    await Promise.all([
      ...Array.from({ length: 6 }, () =>
        s.cortex.immutable.store({ type: "t", id: "race", data: {} }),
      ),
      s.cortex.immutable.purge("t", "race"),
      s.cortex.immutable.store({ type: "t", id: "race", data: {} }),
    ]);
    const head = await s.cortex.immutable.get("t", "race");
    const history = await s.cortex.immutable.getHistory("t", "race");
    expect(history.at(-1)?.version).toBe(head?.version);
    const rows = await s.sql`select version from immutable_version where id = 'race'`;
    expect(rows).toHaveLength(history.length);
    expect((await s.cortex.immutable.verifyHistory("t", "race")).problems).toEqual([]);
  }
});

it("refuses bad names", async () => {
  await expect(s.cortex.immutable.purge("", "a")).toFailWith("INVALID_TYPE");
  await expect(s.cortex.immutable.purge("t", " ")).toFailWith("INVALID_ID");
});
