// A typed store for a service: scopes and events that TypeScript checks: npx tsx examples/typed-store.ts
import { z } from "zod";
import { Cortex, CortexError, CortexStore, CortexStoreEvents } from "../client/index.js";

const UserEvents = CortexStoreEvents.create("user")
  .event("created", z.object({ id: z.string(), plan: z.string().default("free") }))
  .build();

await using cortex = new Cortex({ tenantId: "examples" });
const store = CortexStore.create()
  .withClient(cortex)
  .withService("typed-store")
  .addScope("organization", { required: true })
  .addActor("agent")
  .addEvents(UserEvents)
  .build();

const org = store.scope("organization", "org_123"); // without it, TypeScript knows no `store.kv`
await cortex.scope("organization", "org_123").purge();

await org.kv.set("theme", "dark", { ttl: 3600 });
console.log(await org.kv.get("theme")); // dark
console.log(org.key("kv", "theme")); // igniter:store:typed-store:organization:org_123:kv:theme
console.log(await org.counter.increment("logins")); // 1

const arrived = new Promise<string>((resolve) => {
  org.events.user.created
    .subscribe(({ data }) => resolve(`${data.id} has the plan ${data.plan}`))
    .then(() => org.events.user.created.publish({ id: "user-1" }));
});
console.log(await arrived); // user-1 has the plan free

const worker = org.actor("agent", "a-7");
console.log(await worker.claim.once("report", "a-7", { ttl: 60 })); // true
console.log(await worker.claim.once("report", "a-8", { ttl: 60 })); // false
console.log(await worker.claim.release("report", "a-7")); // true

try {
  store.scope("planet" as "organization", "mars");
} catch (error) {
  if (error instanceof CortexError) console.log(error.code); // INVALID_SCOPE
}
