// Parses flags and environment, and runs the server until it is stopped. With --workers N this process owns
// the embedded Postgres, and N others serve.
import cluster from "node:cluster";
import { resolve } from "node:path";
import type { Logger } from "pino";
import {
  type Config,
  Printed,
  parseConfig,
  UsageError,
  unknownVariables,
} from "./config/config.js";
import { version } from "./config/version.js";
import type { Embedded } from "./embedded/cluster.js";
import { createLog } from "./log.js";
import { placeOf } from "./postgres/explain.js";
import { connectionsNeeded } from "./postgres/pools.js";
import { writeNote } from "./server-note.js";
import { type Running, start } from "./start.js";
import { type StopSignal, stopSignal } from "./stop-signal.js";
import { runWorkers } from "./workers.js";

export async function main(): Promise<void> {
  const config = configure();
  if (!config) return;
  const log = createLog(config);
  try {
    if (cluster.isWorker) await serveAsWorker(config, log);
    else await serve(config, log);
  } catch (error) {
    console.error(`cortex-store: ${error instanceof Error ? error.message : error}`);
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
  log.info({}, `cortex-store ${version} starts, on Node ${process.versions.node}`);
  for (const problem of unknownVariables(process.env, version)) log.warn({}, problem);
  let starting: Promise<Embedded> | undefined;
  let embedded: Embedded | undefined;
  // A Postgres that is still starting must not outlive this process either.
  const stop = stopSignal(async () => {
    const started = await starting?.catch(() => undefined);
    await started?.stop("immediate");
  });
  try {
    starting = config.databaseUrl ? undefined : startPostgres(config, log, stop.asked);
    if (starting) embedded = await unlessStopped(stop, () => starting as Promise<Embedded>);
    const url = embedded?.url ?? config.databaseUrl ?? "";
    const run = config.workers > 1 ? runWorkers : start;
    const running = await unlessStopped(stop, () => run(config, url, log, stop.asked));
    if (running) {
      describe(config, running, log);
      const note = await writeNote({ ...config, address: running.address });
      console.log(`cortex-store listening on ${running.address}`);
      await stop.stopped;
      log.info({}, "stopping");
      await running.stop();
      await note.remove();
    }
  } finally {
    await (stop.stoppingAtOnce ?? embedded?.stop("fast"));
  }
  process.exit(); // with code 0, or 130 after a second Ctrl-C
}

/** Runs a start; gives undefined if the server was asked to stop before it served. */
async function unlessStopped<T>(
  { asked }: StopSignal,
  starting: () => Promise<T>,
): Promise<T | undefined> {
  if (asked.aborted) return undefined;
  try {
    return await starting();
  } catch (error) {
    if (asked.aborted) return undefined;
    throw error;
  }
}

/**
 * The embedded Postgres is imported only where it is used: with DATABASE_URL its npm package is not needed.
 */
async function startPostgres(config: Config, log: Logger, signal: AbortSignal): Promise<Embedded> {
  const { startEmbedded } = await import("./embedded/cluster.js");
  return startEmbedded(
    config.dataDir,
    log,
    connectionsNeeded(config) + reservedConnections,
    signal,
  );
}

const reservedConnections = 20; // for psql and the like

/** Logs what a person wants to know of a server that has started. */
function describe(config: Config, { database }: Running, log: Logger): void {
  const { auth, databaseUrl, tlsCert, tlsClientCa } = config;
  const place = placeOf(databaseUrl ?? "postgres://embedded");
  log.info(
    {},
    databaseUrl
      ? `the data is in Postgres ${database.postgres} at ${place.address}, database ${place.database}, role ${place.role}`
      : `the data is in ${resolve(config.dataDir)}, in an embedded Postgres ${database.postgres}`,
  );
  const { migrations, applied, background } = database;
  const later = background.length;
  log.info(
    {},
    `the schema is up to date: ${migrations} migrations, ${applied} of them applied now${later > 0 ? `, ${later} going on in the background` : ""}`,
  );
  const callers = {
    none: tlsClientCa
      ? "callers need a client certificate (--tls-client-ca), and may do everything in every tenant"
      : "callers need no credentials, and may do everything in every tenant (--auth none)",
    keys: `callers need a key of ${config.authKeysFile}, which says their tenants (--auth keys)`,
    jwt: `callers need a token of ${config.jwtIssuer}, which says their tenants (--auth jwt)`,
  };
  log.info({}, `${callers[auth]}; ${tlsCert ? "TLS" : "no TLS"}`);
}

async function serveAsWorker(config: Config, log: Logger): Promise<void> {
  const stop = stopSignal(() => undefined);
  process.once("disconnect", () => {
    if (stop.asked.aborted) process.exit(130); // the primary process stopped at once
    process.kill(process.pid, "SIGTERM"); // the primary process is gone
  });
  const url = config.databaseUrl ?? "";
  const running = await unlessStopped(stop, () => start(config, url, log, stop.asked));
  if (running) {
    process.send?.({ address: running.address, database: running.database });
    await stop.stopped;
    await running.stop();
  }
  process.exit();
}
