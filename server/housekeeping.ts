// The server's own work beside calls: it sweeps, folds sums, and looks after those who wait.
import type { Logger } from "pino";
import { tendFeed } from "./feed/upkeep.js";
import type { ServerContext } from "./grpc/context.js";
import type { Run } from "./postgres/connection.js";
import { sweepAudit } from "./storage/audit/sweep.js";
import { keepPlaces } from "./storage/claims/acquire.js";
import { sweepClaims } from "./storage/claims/sweep.js";
import { sweepEntries } from "./storage/entries/sweep.js";
import { deleteOldReplies } from "./storage/idempotency.js";
import { readyStreams } from "./storage/streams/read.js";
import { sweepStreams } from "./storage/streams/sweep.js";
import { foldUsage } from "./storage/usage/usage.js";
import { sweepVersions } from "./storage/versions/sweep.js";

const foldMs = 1000;
const foldWork = "fold what was counted";
const expireMs = 1000;
const expireWork = "delete the entries that have expired";
const waitMs = 700; // a waiter that was not seen for 2 seconds is gone
const waitWork = "keep the places of those who wait for claims";
const lookMs = 1000; // the bus may have lost the name of a stream
const lookWork = "look for entries that readers wait for";
const tendMs = 1000;
const tendWork = "keep the log of changes in bounds";
const sweepWork = "delete what is no longer kept";

/** Begins the work. It ends when `stop` is called. */
export function keepHouse(context: ServerContext): { stop(): Promise<void> } {
  const { config, pools, monitor, bus, feed, telemetry, log } = context;
  const housekeep = (name: string, ms: number, work: (run: Run) => Promise<void>) =>
    every(ms, async (signal) => {
      const startedAt = performance.now();
      let failed = false;
      try {
        await work(pools.housekeeping.run([], signal));
        monitor.did(name);
      } catch (error) {
        failed = true;
        if (!signal.aborted) monitor.cannot(name, error);
      }
      if (!signal.aborted) telemetry?.did(name, performance.now() - startedAt, failed);
    });
  const sweeping = housekeep(sweepWork, config.sweepSeconds * 1000, (run) =>
    sweep(run, context, log),
  );
  const folding = housekeep(foldWork, foldMs, foldUsage);
  const expiring = housekeep(expireWork, expireMs, async (run) => {
    const expired = await sweepEntries(run);
    telemetry?.swept("entries", expired);
    if (expired > 0) feed.announce();
  });
  const waiting = housekeep(waitWork, waitMs, (run) => keepPlaces(run, context.claimTurns.places));
  const looking = housekeep(lookWork, lookMs, async (run) =>
    bus.wake(await readyStreams(run, context.readerTurns.firsts)),
  );
  const tending = housekeep(tendWork, tendMs, tendFeed);
  const all = [sweeping, folding, expiring, waiting, looking, tending];
  return {
    async stop() {
      await Promise.all(all.map((work) => work.stop()));
    },
  };
}

/** Deletes claims that are over, versions beyond retention, old stored replies and old audit records. */
async function sweep(
  run: Run,
  { config, samples, telemetry }: Pick<ServerContext, "config" | "samples" | "telemetry">,
  log: Logger,
): Promise<void> {
  const swept: Record<string, number> = {};
  const note = async (kind: string, deleting: Promise<number>) => {
    swept[kind] = await deleting;
    telemetry?.swept(kind, swept[kind]);
  };
  await note("claims", sweepClaims(run));
  await note("streams", sweepStreams(run));
  await note("versions", sweepVersions(run, config.retention));
  await note("replies", deleteOldReplies(run, config.requestSeconds));
  await note("audit", sweepAudit(run, config.auditDays));
  await samples.refresh(run);
  if (Object.values(swept).some((rows) => rows > 0))
    log.debug(swept, "swept what was no longer kept");
}

function every(ms: number, work: (signal: AbortSignal) => Promise<void>) {
  const controller = new AbortController();
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= work(controller.signal).finally(() => {
      running = undefined;
    });
  }, ms);
  return {
    async stop() {
      clearInterval(timer);
      controller.abort();
      await running;
    },
  };
}
