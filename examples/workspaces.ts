// Each workspace of an organization has names of its own: npx tsx examples/workspaces.ts
import { Cortex, type Scope } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples" });
const acme = cortex.scope("organization", "acme");
await acme.purge();

/** An agent that works in a workspace knows nothing of the others. */
async function plan(workspace: Scope, goal: string) {
  await workspace.mutable.set("plan", "goal", goal);
  await workspace.claims.with("planner", { ttlSeconds: 10 }, (claim) =>
    claim.immutable.store({ type: "decision", id: "goal", data: { goal } }),
  );
}
const [sales, research] = ["sales", "research"].map((id) => acme.scope("workspace", id));
await plan(sales as Scope, "more customers");
await plan(research as Scope, "fewer riddles");

console.log(`sales: ${await sales?.mutable.get("plan", "goal")}`); // sales: more customers
console.log(`research: ${await research?.mutable.get("plan", "goal")}`); // research: fewer riddles
console.log(`outside: ${await cortex.mutable.get("plan", "goal")}`); // outside: null

const { scopes } = await acme.scopes();
console.log(scopes.map(({ identifier }) => identifier).join(", ")); // research, sales

const { entries, records } = await (sales as Scope).purge();
console.log(`purged: ${entries} entry, ${records} record`); // purged: 1 entry, 1 record
console.log(`research: ${await research?.mutable.get("plan", "goal")}`); // research: fewer riddles
