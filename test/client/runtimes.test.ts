// Runs the client, bundled, and the server on other runtimes. `npm test` uses the Node that runs it; the
// campaign installs the others from npm.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { temporaryDirectory } from "../support/directory.js";
import { cleanEnvironment, root, run, serverMain, spawnServer } from "../support/process.js";
import { serve } from "../support/server.js";

const s = serve();
const runtimes = (process.env.RUNTIMES ?? "this Node").split(", ");
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let bundle: string;

const program = `import { Cortex, CortexError } from "cortex-store";
async function main() {
  const cortex = new Cortex({ address: process.argv[2], tenantId: "runtimes", timeoutMs: 10_000 });
  await cortex.mutable.set("ns", "n", 1);
  await Promise.all(Array.from({ length: 20 }, () => cortex.mutable.update("ns", "n", (n: number) => n + 1)));
  await cortex.mutable.transaction((tx) => {
    tx.set("ns", "k", tx.get("ns", "n"));
    tx.store({ type: "t", id: "i", data: { text: "of a transaction" } });
  });
  for await (const { key, value } of cortex.mutable.scan("ns")) console.log(key, value);
  await cortex.mutable.set("ns", "n", 0, { ifAbsent: true }).catch((error) => {
    if (error instanceof CortexError) console.log(error.code);
  });
  console.log((await cortex.immutable.verifyHistory("t", "i")).valid);
  await cortex.immutable.purge("t", "i");
  await cortex.close();
}
main();
`;
const output = "k 21\nn 21\nKEY_EXISTS\ntrue\n";

beforeAll(async () => {
  directory = await temporaryDirectory();
  await mkdir(join(root, ".scratch"), { recursive: true });
  const source = join(root, ".scratch", "runtimes.ts");
  await writeFile(source, program);
  bundle = join(directory.path, "bundle.cjs");
  const esbuild = join(root, "node_modules/.bin/esbuild");
  const options = ["--bundle", "--platform=node", "--target=node20", "--log-level=warning"];
  const built = await run(esbuild, [source, ...options, `--outfile=${bundle}`]);
  expect(built).toEqual({ code: 0, out: "", err: "" });
});
afterAll(() => directory.remove());

/** Installs a runtime, such as `node@22`; gives its program. */
async function install(runtime: string): Promise<string> {
  if (runtime === "this Node") return process.execPath;
  const cwd = join(directory.path, runtime);
  await mkdir(cwd);
  await writeFile(join(cwd, "package.json"), "{}");
  const { code, err } = await run("npm", ["install", runtime], { cwd, env: cleanEnvironment() });
  if (code !== 0) throw new Error(err);
  return join(cwd, "node_modules/.bin", runtime.split("@")[0] ?? "");
}

it.each(runtimes)("the client runs on %s, and the server on each Node", async (runtime) => {
  const runtimeProgram = await install(runtime);
  const session = (address: string) =>
    run(runtimeProgram, [bundle, address], { env: cleanEnvironment() });
  expect(await session(s.address)).toEqual({ code: 0, out: output, err: "" });
  if (runtime === "bun") return;
  const server = await spawnServer(
    ["--data-dir", join(directory.path, "data"), "--log-level", "warn"],
    {},
    {},
    serverMain,
    runtimeProgram,
  );
  expect(await session(server.address)).toEqual({ code: 0, out: output, err: "" });
  expect(await server.end()).toBe(0);
  expect(server.err()).toBe("");
});
