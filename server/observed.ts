// What metrics are made of when they are asked for: the state of this process, and the sums in the database.
import type { ServerContext } from "./grpc/context.js";
import type { Run } from "./postgres/connection.js";
import { measureAll } from "./storage/usage/measure-all.js";
import type { Observed } from "./telemetry/telemetry.js";

const tenantsMax = 100; // each is a label of its own for ever
const useMs = 10_000; // the sums are read at most so often, whoever asks for metrics

export function observed(
  { inFlight, pools, groupCommits, locks, feed, config }: ServerContext,
  run: Run,
): Observed {
  let use: ReturnType<Observed["use"]> | undefined;
  let readAt = 0;
  return {
    now() {
      const { watches, subscriptions, lagSeconds } = feed.load;
      return {
        callsActive: inFlight.size,
        pools: pools.load,
        batchesWaiting: groupCommits.waiting,
        locksWaiting: locks.waiting,
        watches,
        subscriptions,
        feedLagSeconds: lagSeconds,
      };
    },
    use() {
      if (use && performance.now() - readAt < useMs) return use;
      readAt = performance.now();
      use = measureAll(run, config.metricsTenants ? tenantsMax : 0);
      use.catch(() => {
        use = undefined; // the next one who asks tries again
      });
      return use;
    },
  };
}
