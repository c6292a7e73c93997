// Of three agents one leads. When it is gone, the next one does: npx tsx examples/leader-election.ts
import { setTimeout as pause } from "node:timers/promises";
import { Cortex, type CortexError } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples" });
const { claims, mutable } = cortex;
await mutable.set("cluster", "leaders", []);

/** Waits until it is the leader, leads for a while, and then lets others lead. */
const agent = (name: string) =>
  claims.with("leader", { owner: name, ttlSeconds: 5, waitMs: 60_000 }, async (claim) => {
    // Whatever it writes under its claim is refused as soon as somebody else leads.
    await claim.mutable.append("cluster", "leaders", name);
    await pause(100);
  });

await Promise.all(["a", "b", "c"].map(agent));
const leaders = await mutable.get<string[]>("cluster", "leaders");
console.log(`leaders: ${leaders?.length}`); // leaders: 3

// An agent that was stopped for longer than its claim lasts still believes that it leads.
const stopped = await claims.acquire("leader", { owner: "stopped", ttlSeconds: 0.1 });
await pause(200);
await claims.with("leader", { owner: "next", ttlSeconds: 5, waitMs: 60_000 }, async () => {
  const late = await stopped?.mutable
    .set("cluster", "leaders", [])
    .catch((error: CortexError) => error.code);
  console.log(`the late write: ${late}`); // the late write: FENCE_STALE
});
