// Writes a change and the record of who made it, both or neither: npx tsx examples/audited-change.ts
import { Cortex, CortexError } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples", agentId: "billing-agent" });
const { mutable, immutable } = cortex;

await mutable.set("accounts", "acme", { balance: 100 });

async function charge(amount: number, reason: string): Promise<void> {
  await mutable.transaction((tx) => {
    const account = tx.get("accounts", "acme");
    if (account.balance < amount) throw new Error(`only ${account.balance} left`);
    tx.update("accounts", "acme", (a) => ({ ...a, balance: a.balance - amount }));
    tx.store({ type: "charge", id: "acme", data: { amount, reason } });
  });
}

const { version: charges = 0 } = (await immutable.get("charge", "acme")) ?? {};
await charge(30, "monthly fee");
try {
  await charge(500, "a mistake");
} catch (error) {
  if (error instanceof CortexError) console.log(`refused: ${(error.cause as Error).message}`); // refused: only 70 left
}

const account = await mutable.get("accounts", "acme");
const last = await immutable.get("charge", "acme");
console.log(`balance: ${account.balance}`); // balance: 70
console.log(`new records: ${(last?.version ?? 0) - charges}`); // new records: 1
console.log(`by ${last?.agentId}: ${last?.data.reason}`); // by billing-agent: monthly fee
