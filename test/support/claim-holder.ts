// A client program that holds claims, and writes under them. Arguments: ADDRESS. For each line NAME TTL_SECONDS of its
// input it acquires a claim and prints "acquired"; for the line "write" it makes every kind of write under the claim,
// and prints as JSON how each of them failed.
import { createInterface } from "node:readline";
import { type Claim, Cortex, CortexError } from "../../client/index.js";
import { transactions, writes } from "./guarded-writes.js";

const cortex = new Cortex({ address: process.argv[2], timeoutMs: 20_000 });
let claim: Claim | null = null;
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "write") {
    const [name = "", ttl] = line.split(" ");
    claim = await cortex.claims.acquire(name, { ttlSeconds: Number(ttl), waitMs: 10_000 });
    console.log("acquired");
    continue;
  }
  const codes: Record<string, string> = {};
  for (const [what, write] of [...writes, ...transactions])
    codes[what] = await write(claim as Claim).then(
      () => "done",
      (error) =>
        error instanceof CortexError
          ? [error.code, error.details.reason].filter(Boolean).join(" ")
          : String(error),
    );
  console.log(JSON.stringify(codes));
}
await cortex.close();
