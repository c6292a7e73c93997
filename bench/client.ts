// What the TypeScript client costs its own process, beside a grpc-js client that sends and gets bytes.
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { echoPath } from "./echo.js";
import type { Meter } from "./meter.js";
import { type Server, started } from "./process.js";

const value = { text: "x".repeat(199) }; // 210 bytes

export async function client(meter: Meter, { cortex, pid }: Server): Promise<void> {
  const echo = await started(["--import", "tsx", `${import.meta.dirname}/echo.ts`]);
  const bare = new Client(echo.address, credentials.createInsecure());
  const same = (bytes: Buffer) => bytes;
  const bytes = Buffer.from(JSON.stringify(value));
  const send = () =>
    new Promise((resolve, reject) => {
      const done = (error: Error | null, reply?: Buffer) =>
        error ? reject(error) : resolve(reply);
      bare.makeUnaryRequest(echoPath, same, same, bytes, new Metadata(), done);
    });
  await cortex.mutable.set("bench", "hot", 0);
  for (let i = 0; i < 1000; i++) await cortex.mutable.set("bench", `k${i}`, value);
  for (const concurrency of [64, 1])
    await meter.compare(
      "calls of the TypeScript client",
      [
        { name: "bytes through a grpc-js client", work: send, server: echo.pid },
        { name: "get", work: (n) => cortex.mutable.get("bench", `k${n % 1000}`), server: pid },
        {
          name: "set",
          work: (n) => cortex.mutable.set("bench", `k${n % 1000}`, value),
          server: pid,
        },
        { name: "increment", work: () => cortex.mutable.increment("bench", "hot"), server: pid },
        {
          name: "update(fn)",
          work: (n) => cortex.mutable.update("bench", `k${n % 1000}`, (now) => now),
          server: pid,
        },
      ],
      { count: concurrency === 1 ? 1500 : 6000, concurrency },
    );
  bare.close();
  await echo.stop();
}
