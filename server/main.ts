#!/usr/bin/env -S node --max-semi-space-size=64
// The command: parses flags and environment, and starts the server. With --workers N (2 or more), N worker
// processes serve. This process then only starts them, and the embedded Postgres if one is needed.
import cluster from "node:cluster";
import { createRequire } from "node:module";
import type { Logger } from "pino";
import { type Config, Printed, parseConfig, UsageError } from "./config/config.js";
import { CortexError } from "./errors/reasons.js";
import { codeOf } from "./errors/sqlstate.js";
import { createLog } from "./log.js";
import { connectionsNeeded } from "./postgres/pools.js";
import { start } from "./start.js";
import { runWorkers } from "./workers.js";

const { version } = createRequire(import.meta.url)("cortex-store/package.json") as {
  version: string;
};

async function main(): Promise<void> {
  const config = configure();
  if (!config) return;
  const log = createLog(config);
  try {
    if (cluster.isWorker) await serveAsWorker(config, log);
    else await serve(config, log);
  } catch (error) {
    console.error(`cortex-store: ${explain(error)}`);
    log.debug({ err: error }, "start failed");
    process.exit(1);
  }
}

function configure(): Config | undefined {
  try {
    return parseConfig(process.argv.slice(2), process.env, version);
  } catch (error) {
    if (error instanceof Printed) return undefined;
    if (!(error instanceof UsageError)) throw error;
    console.error(`cortex-store: ${error.message}`);
    process.exitCode = 2;
    return undefined;
  }
}

async function serve(config: Config, log: Logger): Promise<void> {
  const stopped = stopSignal();
  const embedded = config.databaseUrl ? undefined : await startPostgres(config, log);
  try {
    const url = embedded?.url ?? config.databaseUrl ?? "";
    const running =
      config.workers > 1 ? await runWorkers(config, url, log) : await start(config, url, log);
    console.log(`cortex-store listening on ${running.address}`);
    await stopped;
    log.info({}, "stopping");
    await running.stop();
  } finally {
    await embedded?.stop();
  }
  process.exit(0);
}

/** Starts the embedded Postgres. Its code is imported only here: with a DATABASE_URL it is never loaded. */
async function startPostgres(config: Config, log: Logger) {
  const { startEmbedded } = await import("./embedded/cluster.js");
  return startEmbedded(config.dataDir, log, connectionsNeeded(config));
}

async function serveAsWorker(config: Config, log: Logger): Promise<void> {
  const stopped = stopSignal();
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM")); // the primary process is gone
  const running = await start(config, config.databaseUrl ?? "", log);
  process.send?.({ address: running.address });
  await stopped;
  await running.stop();
  process.exit(0);
}

/** Resolves at the first SIGTERM or Ctrl-C. A second Ctrl-C ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ["SIGTERM", "SIGINT"] as const)
      process.on(signal, () => {
        if (asked && signal === "SIGINT") process.exit(130);
        asked = true;
        resolve();
      });
  });
}

function explain(error: unknown): string {
  if (error instanceof CortexError && error.reason === "DATABASE_UNAVAILABLE")
    return `the database of --database-url (DATABASE_URL) does not answer: ${codeOf(error.cause)}`;
  return error instanceof Error ? error.message : String(error);
}

await main();
