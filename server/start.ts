// Starts a server: database, migrations, services, sweeps. Stops it: drains, then closes everything.
import type { Server } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { authenticator } from "./auth/authenticate.js";
import { anonymous } from "./auth/credentials.js";
import { authInterceptor } from "./auth/interceptor.js";
import { type Config, consistent, isLoopback } from "./config/config.js";
import { version } from "./config/version.js";
import { Feed } from "./feed/feed.js";
import { prepareFeed } from "./feed/upkeep.js";
import type { ServerContext } from "./grpc/context.js";
import { Listener } from "./grpc/listener.js";
import { RefusedCalls } from "./grpc/refused-calls.js";
import { createServer } from "./grpc/server.js";
import { transport } from "./grpc/tls.js";
import { keepHouse } from "./housekeeping.js";
import { observed } from "./observed.js";
import { migrateInBackground } from "./postgres/background-migrations.js";
import { Bus } from "./postgres/bus.js";
import type { Run } from "./postgres/connection.js";
import { DatabaseMonitor } from "./postgres/monitor.js";
import { connectionsNeeded, Pools } from "./postgres/pools.js";
import { type Prepared, prepareDatabase } from "./postgres/prepare.js";
import { AccessCounter } from "./runtime/access-counter.js";
import { GroupCommits } from "./runtime/group-commits.js";
import { InFlight } from "./runtime/in-flight.js";
import { KeptReplies } from "./runtime/kept-replies.js";
import { KeyLocks } from "./runtime/key-locks.js";
import { PlannerSamples } from "./runtime/planner-samples.js";
import { Quotas } from "./runtime/quotas.js";
import { RateLimiter } from "./runtime/rate-limiter.js";
import { RecentNames } from "./runtime/recent-names.js";
import { Turns } from "./runtime/turns.js";
import { languageOf } from "./search/language.js";
import { WordForms } from "./search/word-forms.js";
import { services } from "./services.js";
import { firstCount } from "./storage/usage/first-count.js";
import { measure, measureRows } from "./storage/usage/measure.js";
import { rewriteRecords } from "./storage/versions/rewrite.js";

const recordsMigration = "0010_records.background.sql";
const usageMigration = "0017_usage_count.background.sql";
const flushMsMax = 5000;

export interface Running {
  /** The HOST:PORT that is served. */
  address: string;
  database: Prepared;
  /**
   * Takes no new calls, lets calls in flight finish within the drain time, writes the accesses that were
   * counted, and closes everything.
   */
  stop(): Promise<void>;
}

/** Serves on config.listen, on the Postgres at `databaseUrl`. Its schema is up to date when this resolves. */
export async function start(
  config: Config,
  databaseUrl: string,
  log: Logger,
  signal?: AbortSignal,
): Promise<Running> {
  consistent(config);
  const cleanups: (() => unknown)[] = [];
  try {
    return await open(config, databaseUrl, log, cleanups, signal);
  } catch (error) {
    for (const cleanup of cleanups.reverse()) await cleanup();
    throw error;
  }
}

/** Opens everything. If it fails, `cleanups` closes all that was opened before. */
async function open(
  config: Config,
  databaseUrl: string,
  log: Logger,
  cleanups: (() => unknown)[],
  signal: AbortSignal | undefined,
): Promise<Running> {
  const telemetry = await startTelemetry(config, log);
  cleanups.push(() => telemetry?.stop());
  const auth = await authenticator(config, log);
  cleanups.push(() => auth?.stop());
  const { credentials, stop: stopTransport } = await transport(config, log);
  cleanups.push(stopTransport);
  warnOfRisks(config, log);
  const prepared = await prepareDatabase(
    databaseUrl,
    {
      waitSeconds: config.databaseWaitSeconds,
      connections: connectionsNeeded(config),
      signal,
    },
    log,
  );
  let health: ((status: "SERVING" | "NOT_SERVING") => void) | undefined; // while it serves
  const monitor = new DatabaseMonitor(databaseUrl, log, (healthy) =>
    health?.(healthy ? "SERVING" : "NOT_SERVING"),
  );
  cleanups.push(() => monitor.close());
  const pools = new Pools(databaseUrl, config, monitor, telemetry?.telemetry);
  cleanups.push(() => pools.close());
  const bus = new Bus(databaseUrl, config.watchListen);
  cleanups.push(() => bus.close());
  const ownRun = pools.housekeeping.run([], new AbortController().signal);
  await prepareFeed(ownRun, config);
  // Each read has a signal of its own: Node warns of many listeners on one.
  const readFeed: Run = (build) => pools.feed.run([], new AbortController().signal)(build);
  const feed = new Feed(readFeed, bus, monitor, config.watchesMax);
  cleanups.push(() => feed.close());
  const listener = new Listener(config, log);
  const language = await languageOf(ownRun, config.searchLanguage);
  const context: ServerContext = {
    telemetry: telemetry?.telemetry,
    authenticator: auth,
    anonymous: auth ? undefined : anonymous,
    listener,
    refusedCalls: new RefusedCalls(config, log, listener, telemetry?.telemetry),
    rateLimiter: new RateLimiter(config.ratePerSecond, config.rateBurst || config.ratePerSecond),
    quotas: new Quotas(
      {
        keys: config.quotaKeys,
        bytes: config.quotaBytes,
        versions: config.quotaVersions,
        pending: config.quotaPending,
      },
      (tenants) => (context.usageIsKnown ? measure : measureRows)(ownRun, tenants),
    ),
    replies: new KeptReplies(config.replyBytes, ownRun, monitor),
    pools,
    groupCommits: new GroupCommits(pools, config.queueMax, telemetry?.telemetry),
    locks: new KeyLocks(config.queueMax, telemetry?.telemetry),
    bus,
    feed,
    claimTurns: new Turns(config.queueMax),
    readerTurns: new Turns(config.queueMax),
    knownStreams: new RecentNames(),
    access: new AccessCounter(ownRun, monitor),
    samples: new PlannerSamples(),
    config,
    language,
    wordForms: new WordForms(language),
    hasFormerRecords: prepared.background.includes(recordsMigration),
    usageIsKnown: !prepared.background.includes(usageMigration),
    log,
    inFlight: new InFlight(),
    monitor,
  };
  const coded = [
    {
      file: recordsMigration,
      rewrite: rewriteRecords(language),
      applied: () => {
        context.hasFormerRecords = false;
      },
    },
    {
      file: usageMigration,
      rewrite: firstCount(),
      applied: () => {
        context.usageIsKnown = true;
      },
    },
  ];
  const migrations = migrateInBackground(databaseUrl, prepared.background, coded, log, monitor);
  cleanups.push(() => migrations.stop());
  const interceptors = auth ? [authInterceptor(auth, context.refusedCalls)] : [];
  const { server, setHealth } = createServer(services, context, interceptors);

  const port = await listener.serve(server, credentials);
  setHealth("SERVING");
  health = setHealth;
  const stopObserving = telemetry?.telemetry.observe(observed(context, ownRun));
  const housekeeping = keepHouse(context);

  return {
    address: config.listen.replace(/:\d+$/, `:${port}`),
    database: prepared,
    async stop() {
      health = undefined;
      setHealth("NOT_SERVING");
      listener.close();
      context.inFlight.endWaiting();
      await drain(server, context.inFlight, config.drainSeconds * 1000);
      auth?.stop();
      stopTransport();
      await housekeeping.stop();
      await migrations.stop();
      await within(flushMsMax, context.access.flush()); // the database may be silent
      stopObserving?.();
      await feed.close();
      await monitor.close();
      await bus.close();
      await pools.close();
      await telemetry?.stop();
    },
  };
}

/** Telemetry is loaded only if it is on. */
async function startTelemetry({ metrics }: Config, log: Logger) {
  const { startSdk } = await import("./telemetry/sdk.js");
  const sdk = await startSdk(metrics, version, log);
  if (!sdk) return undefined;
  const { OpenTelemetry } = await import("./telemetry/open-telemetry.js");
  const optIn = process.env.OTEL_SEMCONV_STABILITY_OPT_IN;
  const telemetry = new OpenTelemetry({ traces: sdk.traces, optIn });
  return { telemetry, stop: () => sdk.stop() };
}

/** Warns about settings that are allowed but risky. */
function warnOfRisks(config: Config, log: Logger): void {
  const { auth, insecure, listen, metrics, tlsCert, tlsClientCa } = config;
  if (metrics && !isLoopback(metrics))
    log.warn({ metrics }, "everybody who can reach this address may read the metrics (--metrics)");
  if (isLoopback(listen)) return;
  if (auth === "none" && insecure && !tlsClientCa)
    log.warn({ listen }, "everybody who can reach this address may do everything (--insecure)");
  else if (!tlsCert)
    log.warn(
      { listen },
      "keys and tokens travel readable: serve TLS (--tls-cert), or behind a proxy that does",
    );
}

/** Lets the calls in flight finish, then closes what else is open: health watches, reflection. */
async function drain(server: Server, inFlight: InFlight, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await within(drainMs, inFlight.drained());
  inFlight.abort();
  await within(250, closed); // the last replies are on their way
  server.forceShutdown();
  await within(1000, inFlight.drained()); // aborted calls give their database connections back
}

function within(ms: number, done: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void done.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
