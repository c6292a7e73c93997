// Starts the SDK of OpenTelemetry, by its standard environment variables and --metrics. Without them nothing of it is
// loaded.
import { randomUUID } from "node:crypto";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";

const stopMsMax = 2000; // a scraper may keep its connection open
const quietMs = 60_000;

export interface Sdk {
  /** True if spans are sent. */
  traces: boolean;
  /** Sends what is left, and ends. */
  stop(): Promise<void>;
}

type Environment = Record<string, string | undefined>;

const isDisabled = (env: Environment) => env.OTEL_SDK_DISABLED?.toLowerCase() === "true";

/** Which signals are asked for. */
export function signalsOf(env: Environment): { traces: boolean; metrics: boolean } {
  if (isDisabled(env)) return { traces: false, metrics: false };
  const isSent = (signal: "TRACES" | "METRICS") => {
    const exporter = env[`OTEL_${signal}_EXPORTER`];
    if (exporter) return exporter !== "none";
    return Boolean(env.OTEL_EXPORTER_OTLP_ENDPOINT || env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]);
  };
  return { traces: isSent("TRACES"), metrics: isSent("METRICS") };
}

/**
 * Starts what is asked for. `metrics` is the HOST:PORT on which Prometheus finds metrics.
 *
 * @returns undefined if nothing is asked for.
 */
export async function startSdk(
  metrics: string | undefined,
  version: string,
  log: Logger,
): Promise<Sdk | undefined> {
  const { env } = process;
  const asked = signalsOf(env);
  if (!asked.traces && !asked.metrics && metrics === undefined) return undefined;
  if (isDisabled(env)) {
    log.warn({}, "OTEL_SDK_DISABLED is true: there are no metrics (--metrics)");
    return undefined;
  }
  if (env.OTEL_METRICS_EXPORTER?.includes("prometheus"))
    throw new Error("OTEL_METRICS_EXPORTER names prometheus: use --metrics instead");
  const { NodeSDK, resources, api } = await import("@opentelemetry/sdk-node");
  const { NoContext } = await import("./no-context.js");
  // The SDK takes its exporters from the environment only.
  env.OTEL_LOGS_EXPORTER = "none";
  if (metrics !== undefined) {
    const { host, port } = await free(metrics);
    const others = asked.metrics ? [env.OTEL_METRICS_EXPORTER || "otlp"] : [];
    env.OTEL_METRICS_EXPORTER = [...others, "prometheus"].join(",");
    env.OTEL_EXPORTER_PROMETHEUS_HOST = host;
    env.OTEL_EXPORTER_PROMETHEUS_PORT = `${port}`;
  } else if (!asked.metrics) env.OTEL_METRICS_EXPORTER = "none";
  const own = {
    "host.name": hostname(),
    "service.name": "cortex-store",
    "service.version": version,
    "service.instance.id": randomUUID(), // of each worker
  };
  const sdk = new NodeSDK({
    resource: resources.defaultResource().merge(resources.resourceFromAttributes(own)),
    ...(!asked.traces && { spanProcessors: [] }),
    // Not the detector of processes: it tells the command line, which can hold the password of the database.
    resourceDetectors: [resources.envDetector],
    contextManager: new NoContext(),
  });
  api.diag.setLogger(diagnostics(log), api.DiagLogLevel.WARN);
  sdk.start();
  return { traces: asked.traces, stop: () => within(stopMsMax, sdk.shutdown()) };
}

/** The address, if it is free: the exporter would only log that it is not. */
function free(address: string): Promise<{ host: string; port: number }> {
  const at = address.lastIndexOf(":");
  const [host, port] = [address.slice(0, at), Number(address.slice(at + 1))];
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) =>
      reject(new Error(`metrics cannot be served on ${address}: ${error.message}`)),
    );
    server.listen({ host, port, exclusive: true }, () =>
      server.close(() => resolve({ host, port })),
    );
  });
}

/** Tells the log of problems of the SDK: of each at most once a minute, because each export may fail. */
function diagnostics(log: Logger) {
  const quietUntil = new Map<string, number>();
  const warn = (message: string, ...details: unknown[]) => {
    if (performance.now() < (quietUntil.get(message) ?? 0)) return;
    if (quietUntil.size >= 100) quietUntil.clear();
    quietUntil.set(message, performance.now() + quietMs);
    log.warn({ details: details.map(String) }, `telemetry: ${message}`);
  };
  return { error: warn, warn, info: ignore, debug: ignore, verbose: ignore };
}

const ignore = () => {};

async function within(ms: number, done: Promise<void>): Promise<void> {
  await Promise.race([done.catch(ignore), pause(ms, undefined, { ref: false })]);
}
