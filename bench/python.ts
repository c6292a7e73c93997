// The Python client beside the TypeScript client: calls one after the other, and 64 at a time. It is measured as the CPU
// time of the client for each call, and as a rate. They alternate in one run.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Cortex } from "../client/index.js";
import { median } from "./measure.js";

const rounds = 5;
const count = 2000;
const interpreter = join(import.meta.dirname, "../clients/python/.venv/newest/bin/python");

interface Spent {
  seconds: number;
  cpu: number;
}

export async function python(address: string): Promise<void> {
  if (!existsSync(interpreter)) {
    console.log("python: not measured, because npm run test:python has not made its environment");
    return;
  }
  const child = spawn(interpreter, [join(import.meta.dirname, "python_client.py"), address], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ofPython = async (kind: string, operation: string, calls: number): Promise<Spent> => {
    child.stdin.write(`${kind} ${operation} ${calls}\n`);
    const { value = "" } = await lines.next();
    return JSON.parse(value) as Spent;
  };
  await using cortex = new Cortex({ address, timeoutMs: 60_000 });
  const value = { text: "x".repeat(195) };
  const operations: Record<string, (i: number) => Promise<unknown>> = {
    set: (i) => cortex.mutable.set("bench", `typescript-${i % 1000}`, value),
    get: () => cortex.mutable.get("bench", "typescript-0"),
    update: (i) => cortex.mutable.update("bench", `typescript-${i % 1000}`, (now) => now),
  };
  for (const [operation, call] of Object.entries(operations))
    for (const [kind, concurrency] of [
      ["sync", 1],
      ["asyncio", 64],
    ] as const) {
      const ofTypeScript = (calls: number) => spentBy(call, calls, concurrency);
      await ofPython(kind, operation, count / 2); // warm-up
      await ofTypeScript(count / 2);
      const [ours, theirs]: [Spent[], Spent[]] = [[], []];
      for (let round = 0; round < rounds; round++) {
        ours.push(await ofPython(kind, operation, count));
        theirs.push(await ofTypeScript(count));
      }
      const [a, b] = [figures(ours), figures(theirs)];
      console.log(
        `python ${operation} (${concurrency} at a time): python ${a.text}, typescript ${b.text}, ratio of CPU ${(a.cpu / b.cpu).toFixed(2)}`,
      );
    }
  child.stdin.end();
  await once(child, "exit");
}

function figures(spent: readonly Spent[]): { cpu: number; text: string } {
  const cpu = (median(spent.map((one) => one.cpu)) / count) * 1e6;
  const rate = count / median(spent.map(({ seconds }) => seconds));
  return { cpu, text: `${Math.round(rate)}/s, ${Math.round(cpu)} µs CPU` };
}

async function spentBy(
  call: (i: number) => Promise<unknown>,
  calls: number,
  concurrency: number,
): Promise<Spent> {
  let next = 0;
  const [start, used] = [performance.now(), process.cpuUsage()];
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < calls) await call(next++);
    }),
  );
  const { user, system } = process.cpuUsage(used);
  return { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 };
}
