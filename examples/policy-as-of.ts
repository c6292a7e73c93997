// Finds the policy that was in force at a time in the past: npx tsx examples/policy-as-of.ts
import { Cortex } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples" });
const { immutable } = cortex;

const policy = { type: "policy", id: "refunds" };
await immutable.purge(policy.type, policy.id);
const first = await immutable.store({ ...policy, data: { maxRefund: 50 } });
const second = await immutable.store({ ...policy, data: { maxRefund: 200 } });

// An order that came before the policy changed is judged by the earlier policy.
const orderedAt = new Date(second.createdAt.getTime() - 1);
const then = await immutable.getAtTimestamp(policy.type, policy.id, orderedAt);
const now = await immutable.get(policy.type, policy.id);
const earlier = await immutable.getAtTimestamp(
  policy.type,
  policy.id,
  new Date(first.createdAt.getTime() - 1),
);

console.log(`when it was ordered: ${then?.data.maxRefund}`); // when it was ordered: 50
console.log(`today: ${now?.data.maxRefund}`); // today: 200
console.log(`before the first version: ${earlier}`); // before the first version: null
const { valid, versions } = await immutable.verifyHistory(policy.type, policy.id);
console.log(`history valid: ${valid}, versions: ${versions}`); // history valid: true, versions: 2
