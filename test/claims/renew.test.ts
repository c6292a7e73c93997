import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { serve } from "../support/server.js";

const s = serve();

it("lasts for its ttl from now on, with the same fence", async () => {
  const { claims } = s.cortex;
  const claim = (await claims.acquire("a", { ttlSeconds: 0.4 })) as Claim;
  await claim.renew({ ttlSeconds: 60 });
  expect(claim.expiresAt.getTime()).toBeGreaterThan(Date.now() + 50_000);
  await pause(450);
  expect(await claims.get("a")).toMatchObject({ fence: claim.fence });
  const renewed = await claims.renew({ name: "a", fence: claim.fence }, { ttlSeconds: 0.2 });
  expect(renewed.expiresAt.getTime()).toBeLessThan(Date.now() + 1000); // it may be shortened
  await pause(250);
  await expect(claim.renew({ ttlSeconds: 1 })).rejects.toMatchObject({
    code: "CLAIM_NOT_HELD",
    details: { claim: "a", fence: claim.fence },
  });
});

it("is refused without a ttl, a name or a fence that can be", async () => {
  const { claims } = s.cortex;
  const held = { name: "a", fence: "1" };
  const refused = (code: string, of: object, options: object) =>
    expect(claims.renew({ ...held, ...of }, options as never)).rejects.toMatchObject({ code });
  await refused("INVALID_TTL", {}, {});
  await refused("INVALID_TTL", {}, { ttlSeconds: -1 });
  await refused("INVALID_CLAIM", { fence: "x" }, { ttlSeconds: 1 });
  await refused("INVALID_CLAIM", { fence: "0" }, { ttlSeconds: 1 });
  await refused("INVALID_CLAIM", { name: "" }, { ttlSeconds: 1 });
  await refused("CLAIM_NOT_HELD", {}, { ttlSeconds: 1 });
});
