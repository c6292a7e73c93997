// Erases a user with all data that belongs to the user: npx tsx examples/erasure.ts
import { Cortex } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples", agentId: "privacy-agent" });
const { mutable, immutable, users } = cortex;

await users.upsert("user-42", { email: "sam@example.com" });
await mutable.set("sessions", "s-1", { page: "pricing" }, { userId: "user-42" });
await immutable.store({ type: "chat", id: "c-1", data: { text: "Hi" }, userId: "user-42" });

// First count what would be erased, then export a copy for the user, then erase.
const { counts } = await users.delete("user-42", { cascade: true, dryRun: true });
console.log(`would erase: ${counts.mutable} entry, ${counts.immutable_version} version`); // would erase: 1 entry, 1 version

let lines = 0;
for await (const _ of users.export("user-42")) lines++;
console.log(`exported lines: ${lines}`); // exported lines: 5

const erased = await users.delete("user-42", { cascade: true });
console.log(`verified: ${erased.verified}`); // verified: true
console.log(`left: ${await mutable.get("sessions", "s-1")}, ${await immutable.get("chat", "c-1")}`); // left: null, null
