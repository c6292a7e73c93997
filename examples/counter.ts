// A counter that many agents increment at once, without losing one: npx tsx examples/counter.ts
import { Cortex } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples" });
const { mutable } = cortex;

await mutable.set("counters", "visits", 0);

// Fifty agents, ten visits each. Each increment is one atomic step in the database.
const agents = Array.from({ length: 50 }, async () => {
  for (let visit = 0; visit < 10; visit++) await mutable.increment("counters", "visits");
});
await Promise.all(agents);

console.log(`visits: ${await mutable.get("counters", "visits")}`); // visits: 500
