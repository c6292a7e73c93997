import { expect, it } from "vitest";
import { Retention } from "../../server/config/retention.js";
import { serve } from "../support/server.js";

const s = serve({ retention: new Retention(3) });

it("gives each version that is kept as it was stored; null for every other", async () => {
  const stored = [];
  for (let n = 1; n <= 5; n++)
    stored.push(await s.cortex.immutable.store({ type: "t", id: "a", data: { n } }));
  for (const { version, data, digest, createdAt } of stored) {
    const read = await s.cortex.immutable.getVersion("t", "a", version);
    if (version < 3) expect(read).toBeNull();
    else expect(read).toMatchObject({ version, data, digest, createdAt, timestamp: createdAt });
  }
  expect(await s.cortex.immutable.getVersion("t", "a", 6)).toBeNull();
  expect(await s.cortex.immutable.getVersion("t", "a", 2 ** 31 - 1)).toBeNull();
  expect(await s.cortex.immutable.getVersion("t", "none", 1)).toBeNull();
});

it("refuses a version that cannot be", async () => {
  const get = (version: unknown) => s.cortex.immutable.getVersion("t", "a", version as number);
  for (const version of [0, -1])
    await expect(get(version)).toFailWith("INVALID_VERSION", { got: `${version}` });
  for (const version of [1.5, "1", Number.NaN, 2 ** 31])
    await expect(get(version)).toFailWith("INVALID_VERSION");
});
