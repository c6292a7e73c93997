// Runs the built server as a separate process, as its users do.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..", "..");
export const serverMain = join(root, "server", "dist", "server", "main.js");

export interface ServerProcess {
  child: ChildProcess;
  address: string;
  /** Returns the text that the server has written to stdout. `err` does this for stderr. */
  out(): string;
  err(): string;
  /** Sends the signal and resolves with the exit code. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts the server and waits for its ready line. If the server exits first, this fails with its output. */
export async function spawnServer(
  args: string[],
  env: NodeJS.ProcessEnv = {},
  options: SpawnOptions = {},
  main = serverMain,
  node = process.execPath,
): Promise<ServerProcess> {
  const child = spawn(node, [main, "--listen", "127.0.0.1:0", ...args], {
    env: { ...cleanEnvironment(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
  let out = "";
  let err = "";
  child.stderr?.on("data", (chunk) => {
    err += chunk;
  });
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout?.on("data", (chunk) => {
      out += chunk;
      const ready = /^cortex-store listening on (\S+)$/m.exec(out);
      if (ready?.[1]) resolve(ready[1]);
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${out}${err}`)));
  });
  return {
    child,
    address,
    out: () => out,
    err: () => err,
    end(signal = "SIGTERM") {
      return new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve(child.exitCode);
        child.once("exit", (code) => resolve(code));
        child.kill(signal);
      });
    },
  };
}

/** Runs the server command to its end. */
export function runServer(args: string[], env: NodeJS.ProcessEnv = {}, options: SpawnOptions = {}) {
  return run(process.execPath, [serverMain, ...args], {
    env: { ...cleanEnvironment(), CORTEX_LOG_LEVEL: "warn", ...env },
    ...options,
  });
}

export function run(
  program: string,
  args: string[],
  options: SpawnOptions = {},
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    let out = "";
    let err = "";
    child.stdout?.on("data", (chunk) => {
      out += chunk;
    });
    child.stderr?.on("data", (chunk) => {
      err += chunk;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out, err }));
  });
}

/** This environment without anything that configures a server or a client. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(CORTEX_|DATABASE_URL|PG|NODE_OPTIONS|VITEST)/.test(name),
    ),
  );
}

/** A port that nobody uses at this moment. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
