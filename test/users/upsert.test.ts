import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("creates, then replaces the profile only where one is given", async () => {
  const created = await s.cortex.users.upsert("sam", { a: 1 });
  expect(await s.cortex.users.upsert("sam")).toEqual(created);
  const changed = await s.cortex.users.upsert("sam", { b: 2 });
  expect(changed).toMatchObject({ profile: { b: 2 }, createdAt: created.createdAt });
});
