import { expect, it } from "vitest";
import type { Claim } from "../../client/index.js";
import { connect } from "../../server/postgres/connection.js";
import { serve } from "../support/server.js";

const s = serve();

it("is for its holder only: name and fence are the proof", async () => {
  const { claims } = s.cortex;
  const claim = (await claims.acquire("a", { ttlSeconds: 60 })) as Claim;
  const wrong = { name: "a", fence: `${BigInt(claim.fence) + 1n}` };
  await expect(claims.release(wrong)).rejects.toMatchObject({ code: "CLAIM_NOT_HELD" });
  await expect(s.client({ tenantId: "other" }).claims.release(claim)).rejects.toMatchObject({
    code: "CLAIM_NOT_HELD",
  });
  await claims.release(claim);
  expect(await claims.get("a")).toBeNull();
  await expect(claim.release()).rejects.toMatchObject({ code: "CLAIM_NOT_HELD" });
});

it("waits for a write that the claim guards", async () => {
  const { claims } = s.cortex;
  const claim = (await claims.acquire("b", { ttlSeconds: 60 })) as Claim;
  const other = connect(s.databaseUrl, { max: 1 });
  let isReleased = false;
  await other.begin(async (tx) => {
    await tx`select from claim where name = 'b' for share`;
    void claim.release().then(() => {
      isReleased = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(isReleased).toBe(false);
  });
  await expect.poll(() => isReleased).toBe(true);
  await other.end();
});
