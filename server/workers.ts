// Several worker processes that serve one address (--workers). The primary process starts them, replaces one
// that dies, and stops them together.
import cluster, { type Worker } from "node:cluster";
import type { Logger } from "pino";
import { type Config, environmentOf } from "./config/config.js";
import type { Running } from "./start.js";

const restartPauseMs = 1000;

/** What a worker tells once it serves. */
type Started = Pick<Running, "address" | "database">;

export async function runWorkers(
  config: Config,
  databaseUrl: string,
  log: Logger,
  asked: AbortSignal,
): Promise<Running> {
  let stopping = false;
  const workers = new Set<Worker>();
  const environment = (place: number) =>
    environmentOf({ ...config, databaseUrl, metrics: metricsOf(config.metrics, place) });
  cluster.setupPrimary({ args: [] });

  /** Starts the worker of a place, and another one if it dies. Resolves with its address once it serves. */
  const fork = (place: number): Promise<Started> =>
    new Promise((resolve, reject) => {
      const worker = cluster.fork(environment(place));
      workers.add(worker);
      let serves = false;
      worker.once("message", (started: Started) => {
        serves = true;
        resolve(started);
      });
      worker.once("exit", (code, signal) => {
        workers.delete(worker);
        if (!serves) reject(new Error(`a worker ended before it served (${signal ?? code})`));
        else if (!stopping) {
          log.warn({ code, signal }, "a worker died: starting another");
          replace(place);
        }
      });
    });
  const replace = (place: number) => {
    setTimeout(() => {
      if (!stopping) fork(place).catch(() => replace(place));
    }, restartPauseMs);
  };

  const stop = async () => {
    stopping = true;
    await Promise.all([...workers].map(ended));
  };
  const giveUp = () => void stop();
  asked.addEventListener("abort", giveUp, { once: true });
  try {
    // The first worker starts alone. It migrates the database. If the port is 0, it picks the port that all
    // workers share.
    const started = await fork(0);
    await Promise.all(Array.from({ length: config.workers - 1 }, (_, i) => fork(i + 1)));
    return { ...started, stop };
  } finally {
    asked.removeEventListener("abort", giveUp);
  }
}

/** Each worker has metrics of its own: the port of the first one is that of the setting. */
function metricsOf(address: string | undefined, place: number): string | undefined {
  return address?.replace(/\d+$/, (port) => `${Number(port) + place}`);
}

function ended(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.once("exit", () => resolve());
    worker.process.kill("SIGTERM");
  });
}
