// What metrics are made of when they are asked for: the state of this process, and the sums in the database.
import type { ServerContext } from "./grpc/context.js";
import type { Run } from "./postgres/connection.js";
import { measureAll } from "./storage/usage/measure-all.js";
import type { Observed } from "./telemetry/telemetry.js";

const tenantsMax = 100;
const useMs = 10_000; // the sums are read at most so often, whoever asks for metrics

export function observed(
  { inFlight, pools, groupCommits, locks, feed, config }: ServerContext,
  run: Run,
): Observed {
  let use: ReturnType<Observed["use"]> | undefined;
  let readAt = 0;
  /** The tenants that were told. The SDK never forgets a label: so these stay, and no others come once there are 100. */
  const told = new Set<string>();
  const read = async () => {
    const { all, tenants } = await measureAll(
      run,
      [...told],
      config.metricsTenants ? tenantsMax : 0,
    );
    for (const { tenant } of tenants) told.add(tenant);
    const byName = new Map(tenants.map((one) => [one.tenant, one]));
    const none = { keys: 0, bytes: 0, versions: 0, pending: 0 };
    return { all, tenants: [...told].map((tenant) => byName.get(tenant) ?? { tenant, ...none }) };
  };
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
      use = read();
      use.catch(() => {
        use = undefined; // the next one who asks tries again
      });
      return use;
    },
  };
}
