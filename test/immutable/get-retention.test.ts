import { expect, it } from "vitest";
import { Retention } from "../../server/config/retention.js";
import { serve } from "../support/server.js";

const s = serve({ sweepSeconds: 0.1, retention: new Retention(20, new Map([["policy", -1]])) });

it("says how many versions the server keeps", async () => {
  expect(await s.cortex.immutable.getRetention()).toEqual({
    defaultVersions: 20,
    byType: { policy: -1 },
  });
});

it("a shorter retention is soon applied, also to records that nobody stores again", async () => {
  const count = async () =>
    Object.fromEntries(
      (
        await s.sql`select type || '/' || id as name, count(*)::int, min(version) from immutable_version group by 1`
      ).map(({ name, count, min }) => [name, [count, min]]),
    );
  for (const type of ["policy", "log", "kb"])
    for (const id of ["a", "b"])
      for (let n = 0; n < 6; n++)
        await s.cortex.immutable.store({ type, id, data: { n } }, { includeHistory: false });
  const shorter = await s.another({
    retention: new Retention(
      4,
      new Map([
        ["policy", -1],
        ["kb", 1],
      ]),
    ),
  });
  await expect.poll(count, { timeout: 10_000 }).toEqual({
    "policy/a": [6, 1],
    "policy/b": [6, 1],
    "log/a": [4, 3],
    "log/b": [4, 3],
    "kb/a": [1, 6],
    "kb/b": [1, 6],
  });
  const client = s.client({ address: shorter.address });
  expect(await client.immutable.getRetention()).toEqual({
    defaultVersions: 4,
    byType: { policy: -1, kb: 1 },
  });
  expect((await client.immutable.getHistory("log", "a")).map(({ version }) => version)).toEqual([
    3, 4, 5, 6,
  ]);
  for (const type of ["policy", "log", "kb"])
    expect((await client.immutable.verifyHistory(type, "a")).valid).toBe(true);
});
