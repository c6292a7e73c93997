// What metrics are made of when they are asked for: the state of this process, and the sums in the database.
import type { ServerContext } from "./grpc/context.js";
import type { Run } from "./postgres/connection.js";
import { measureAll } from "./storage/usage/measure-all.js";
import type { Observed, StoredUse, TenantUse } from "./telemetry/telemetry.js";

const tenantsMax = 100;
const readMs = 10_000; // the pause between two reads of the sums, however often metrics are asked for

export function observed(context: ServerContext, run: Run): Observed {
  const { inFlight, pools, groupCommits, locks, feed, config } = context;
  let last: Omit<StoredUse, "ageSeconds"> | undefined;
  let lastAt = 0;
  let nextAt = 0;
  let isReading = false;
  /** The tenants that have a label. The SDK cannot drop one, so after 100 no tenant is added. */
  const labelled = new Set<string>();
  const max = config.metricsTenants ? tenantsMax : 0;

  async function read(): Promise<void> {
    const { all, tenants } = await measureAll(run, [...labelled], max);
    for (const { tenant } of tenants) if (labelled.size < max) labelled.add(tenant);
    const byName = new Map(tenants.map((one) => [one.tenant, one]));
    const none = { keys: 0, bytes: 0, versions: 0, pending: 0 };
    const useOf = (tenant: string): TenantUse => byName.get(tenant) ?? { tenant, ...none };
    last = { all, tenants: [...labelled].map(useOf) };
    lastAt = performance.now();
  }

  /** Begins to read the sums, if it is time, and nobody does. */
  function refresh(): void {
    // Until the first count is done, the sums are too small.
    if (isReading || performance.now() < nextAt || !context.usageIsKnown) return;
    isReading = true;
    read()
      .catch(() => {}) // the age of what was read last tells it
      .finally(() => {
        isReading = false;
        nextAt = performance.now() + readMs;
      });
  }

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
      refresh();
      return last && { ...last, ageSeconds: (performance.now() - lastAt) / 1000 };
    },
  };
}
