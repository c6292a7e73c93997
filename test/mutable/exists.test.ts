import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("says whether a key exists, a stored null included", async () => {
  expect(await s.cortex.mutable.exists("ns", "k")).toBe(false);
  await s.cortex.mutable.set("ns", "k", null);
  expect(await s.cortex.mutable.exists("ns", "k")).toBe(true);
  await s.cortex.mutable.delete("ns", "k");
  expect(await s.cortex.mutable.exists("ns", "k")).toBe(false);
});
