// Workers share the entries of a stream; what fails too often becomes a dead letter: npx tsx examples/work-stream.ts
import { Cortex } from "../client/index.js";

await using cortex = new Cortex({ tenantId: "examples" });
const { mutable, streams } = cortex;
await streams.delete("orders");
await mutable.set("orders", "packed", 0);

const ending = new AbortController();
const group = (consumer: string) => streams.group("packers", consumer);
await group("setup").ensure("orders", { maxDeliveries: 2 });

/** Packs orders until it is told to end. What throws comes back, to any worker. */
const worker = (name: string) =>
  group(name).consume<{ number: number }>(
    "orders",
    async ({ data, id }) => {
      if (data.number === 13) throw new Error("the box is broken");
      // The id of the entry as request id: if it is delivered twice, it counts once.
      await mutable.increment("orders", "packed", 1, { requestId: `packed-${id}` });
    },
    { concurrency: 4, retryDelayMs: 50, signal: ending.signal },
  );

const workers = ["worker-1", "worker-2"].map(worker);
await streams.appendMany(
  "orders",
  Array.from({ length: 20 }, (_, number) => ({ data: { number } })),
);
await mutable.waitFor("orders", "packed", (packed) => packed === 19, { timeoutMs: 20_000 });

const deadLetters = async () =>
  (await group("setup").deadLetters<{ number: number }>("orders")).entries;
let dead = await deadLetters();
while (dead.length === 0) dead = await deadLetters();
ending.abort();
await Promise.all(workers);

console.log(`packed: ${await mutable.get("orders", "packed")}`); // packed: 19
console.log(`dead: order ${dead[0]?.data.number}, ${dead[0]?.history.at(-1)?.reason}`); // dead: order 13, the box is broken
