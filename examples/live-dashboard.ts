// A dashboard that shows the state of a namespace, and then each change: npx tsx examples/live-dashboard.ts
import { Cortex } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples" });
const { mutable } = cortex;
await mutable.purgeNamespace("dashboard");
await mutable.setMany("dashboard", { "agent-1": "idle", "agent-2": "working" });

const shown = new Map<string, string>();
let ready = () => {};
const isReady = new Promise<void>((resolve) => {
  ready = resolve;
});

/** Keeps `shown` up to date until the agents are gone. */
async function dashboard(): Promise<void> {
  const options = {
    includeCurrent: true,
    onProgress: (_: string, isCurrent: boolean) => isCurrent && ready(),
  };
  for await (const { key, value } of mutable.watch<string>("dashboard", options)) {
    if (value === undefined) shown.delete(key);
    else shown.set(key, value);
    if (shown.size === 0) return;
  }
}

const running = dashboard();
await isReady;
console.log(`agents: ${shown.size}`); // agents: 2
await mutable.set("dashboard", "agent-3", "working");
await mutable.set("dashboard", "agent-1", "working");
await mutable.waitFor("dashboard", "agent-1", (state) => state === "working");
for (const key of ["agent-1", "agent-2", "agent-3"]) await mutable.delete("dashboard", key);
await running;
console.log(`agents at the end: ${shown.size}`); // agents at the end: 0
