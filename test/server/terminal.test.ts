// Presses Ctrl-C in a real terminal. One press stops the server cleanly, whatever started it, and no process
// stays.
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type IPty, spawn } from "@lydell/node-pty";
import { afterAll, beforeAll, expect, it } from "vitest";
import { temporaryDirectory } from "../support/directory.js";
import { cleanEnvironment, root, run, serverMain } from "../support/process.js";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const terminals: IPty[] = [];
beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(async () => {
  for (const terminal of terminals) terminal.kill("SIGKILL");
  await directory.remove();
});

const ctrlC = "\x03";

/** Starts a command in a terminal of its own, and waits until the server in it listens. */
async function start(name: string, program: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const dataDir = join(directory.path, name.replaceAll(" ", "-"));
  const settings = { CORTEX_DATA_DIR: dataDir, CORTEX_LISTEN: "127.0.0.1:0", ...env };
  const terminal = spawn(program, args, { cwd: root, env: { ...cleanEnvironment(), ...settings } });
  terminals.push(terminal);
  let output = "";
  terminal.onData((data) => {
    output += data;
  });
  const ended = new Promise<{ exitCode: number; signal?: number }>((resolve) =>
    terminal.onExit(resolve),
  );
  while (!output.includes("listening on"))
    if ((await Promise.race([ended, pause(20)])) !== undefined) throw new Error(output);
  return { terminal, ended, output: () => output, dataDir };
}

/** Finds the processes of Postgres: they have the data directory in their command line. */
const postgresOf = async (dataDir: string) => (await run("pgrep", ["-f", dataDir])).out;

it.each([
  ["node", process.execPath, [serverMain]],
  ["npm start", "npm", ["start", "--ignore-scripts"]],
  ["npx", "npx", ["cortex-store"]],
  ["two workers", process.execPath, [serverMain, "--workers", "2"]],
])("one Ctrl-C stops a server that %s started, with exit code 0", async (name, program, args) => {
  const { terminal, ended, output, dataDir } = await start(name, program, args);
  expect(await postgresOf(dataDir)).not.toBe("");
  terminal.write(ctrlC);
  expect((await ended).exitCode, output()).toBe(0);
  expect(output()).toContain("stopping");
  expect(await postgresOf(dataDir)).toBe("");
});

it("two Ctrl-C at the same moment count as one", async () => {
  const { terminal, ended, dataDir } = await start("twice", process.execPath, [serverMain]);
  terminal.write(ctrlC + ctrlC);
  expect((await ended).exitCode).toBe(0);
  expect(await postgresOf(dataDir)).toBe("");
});

it.each(["1", "2"])(
  "another Ctrl-C, more than a second later, stops %s worker(s) at once, and Postgres with them",
  async (workers) => {
    const args = [serverMain, "--drain-seconds", "600", "--workers", workers];
    const { terminal, ended, output, dataDir } = await start(
      `at-once-${workers}`,
      process.execPath,
      args,
    );
    const address = /listening on (\S+)/.exec(output())?.[1] ?? "";
    // A call in flight keeps the server from stopping.
    const holder = spawn(
      process.execPath,
      ["--import", "tsx", "test/support/holder.ts", address, "k"],
      {
        cwd: root,
        env: cleanEnvironment(),
      },
    );
    terminals.push(holder);
    await new Promise<void>((resolve) => {
      holder.onData((data) => data.includes("held") && resolve());
    });
    terminal.write(ctrlC);
    while (!output().includes("stopping")) await pause(20);
    await pause(1200);
    terminal.write(ctrlC);
    expect((await ended).exitCode).toBe(130);
    expect(await postgresOf(dataDir)).toBe("");
  },
);

it("closing the terminal stops the server and its Postgres", async () => {
  const { terminal, ended, dataDir } = await start("closed", process.execPath, [serverMain]);
  terminal.kill("SIGHUP");
  await ended;
  expect(await postgresOf(dataDir)).toBe("");
});
