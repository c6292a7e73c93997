import { expect, it } from "vitest";
import { serve } from "../support/server.js";

const s = serve();

it("gives the claim while it is held", async () => {
  const { claims } = s.client({ agentId: "agent" });
  await s.cortex.users.create("u");
  expect(await claims.get("a")).toBeNull();
  const big = { n: 12345678901234567890n };
  await claims.acquire("a", { ttlSeconds: 60, value: big, userId: "u" });
  expect(await claims.get("a")).toEqual({
    ...{ name: "a", owner: "agent", agentId: "agent", userId: "u", value: big },
    fence: expect.stringMatching(/^\d+$/),
    acquiredAt: expect.any(Date),
    expiresAt: expect.any(Date),
  });
  await expect(claims.get("")).rejects.toMatchObject({ code: "INVALID_CLAIM" });
  // Entries and claims never meet.
  expect(await s.cortex.mutable.listNamespaces()).toEqual([]);
});
