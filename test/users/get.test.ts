import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("gives null where nobody has the id", async () => {
  expect(await s.cortex.users.get("nobody")).toBeNull();
});
