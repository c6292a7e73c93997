import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("gives the whole record, and null for a missing key", async () => {
  const written = await s.cortex.mutable.set(
    "ns",
    "k",
    { a: 1 },
    { metadata: { by: "test" }, ttlSeconds: 60 },
  );
  expect(await s.cortex.mutable.getRecord("ns", "k")).toEqual(written);
  expect(await s.cortex.mutable.getRecord("ns", "missing")).toBeNull();
});

it("tells a stored null from a missing key", async () => {
  await s.cortex.mutable.set("ns", "null", null);
  expect((await s.cortex.mutable.getRecord("ns", "null"))?.value).toBeNull();
});
