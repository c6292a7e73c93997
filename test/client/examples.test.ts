// Checks that each example prints what its comments say, also when it runs a second time.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cleanEnvironment, root, run } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve();

/** The lines that an example should print: the comments behind its console.log calls. */
async function expectedLines(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8");
  return [...text.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, line = ""]) => line);
}

it.each([
  "counter",
  "shared-tasks",
  "audited-change",
  "policy-as-of",
  "erasure",
  "leader-election",
  "job-queue",
  "live-dashboard",
  "work-stream",
  "workspaces",
  "typed-store",
])("%s", async (name) => {
  const file = join(root, "examples", `${name}.ts`);
  const env = { ...cleanEnvironment(), CORTEX_ADDRESS: s.address };
  for (let time = 1; time <= 2; time++) {
    const { code, out, err } = await run(process.execPath, ["--import", "tsx", file], {
      cwd: root,
      env,
    });
    expect([code, err]).toEqual([0, ""]);
    const lines = out.trim().split("\n");
    expect((await expectedLines(file)).length).toBeGreaterThan(0);
    expect(lines).toEqual(expect.arrayContaining(await expectedLines(file)));
  }
});
