// Workers take jobs, each job once, also if a worker dies in the middle of one: npx tsx examples/job-queue.ts
import { Cortex } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples" });
const { claims, mutable } = cortex;
await mutable.purgeNamespace("jobs");
await mutable.setMany(
  "jobs",
  Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`job-${i}`, { state: "new" }])),
);

// A worker died while it had a job. Its claim ends soon.
await claims.acquire("jobs:job-7", { owner: "dead", ttlSeconds: 0.5 });

/** Takes what is new until nothing is left. */
async function worker(owner: string): Promise<number> {
  let done = 0;
  for (;;) {
    const { records } = await mutable.list("jobs");
    const open = records.filter(({ value }) => value.state === "new");
    if (open.length === 0) return done;
    for (const { key } of open) {
      await claims.with(`jobs:${key}`, { owner, ttlSeconds: 10 }, async (claim) => {
        const job = await mutable.get("jobs", key);
        if (job?.state !== "new") return; // somebody else has done it since
        await claim.mutable.set("jobs", key, { state: "done", by: owner });
        done++;
      });
    }
  }
}

const counts = await Promise.all(["worker-1", "worker-2", "worker-3"].map(worker));
console.log(`done: ${counts.reduce((sum, n) => sum + n)}`); // done: 20
