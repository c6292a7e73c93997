// Reads the observed metrics whenever they are collected.
import type { BatchObservableCallback, Meter, Observable } from "@opentelemetry/api";
import type { Instruments } from "./instruments.js";
import type { Observed, TenantUse } from "./telemetry.js";

/** Begins to observe. Returns a function that ends it. */
export function observe(meter: Meter, instruments: Instruments, observed: Observed): () => void {
  const ofProcess: Observable[] = [
    instruments.callsActive,
    instruments.connections,
    instruments.connectionsMax,
    instruments.connectionWaiters,
    instruments.batchWaiters,
    instruments.lockWaiters,
    instruments.feedLag,
    instruments.watchers,
    instruments.cpuTime,
    instruments.memory,
  ];
  const ofDatabase: Observable[] = [
    instruments.storedAge,
    instruments.storedKeys,
    instruments.storedBytes,
    instruments.storedVersions,
    instruments.streamsPending,
    instruments.tenantKeys,
    instruments.tenantBytes,
    instruments.tenantVersions,
    instruments.tenantPending,
  ];
  const readProcess: BatchObservableCallback = (result) => {
    const now = observed.now();
    result.observe(instruments.callsActive, now.callsActive);
    for (const { name, size, used, idle, waiting } of now.pools) {
      const pool = { "db.client.connection.pool.name": name };
      const state = (state: string) => ({ ...pool, "db.client.connection.state": state });
      result.observe(instruments.connections, used, state("used"));
      result.observe(instruments.connections, idle, state("idle"));
      result.observe(instruments.connectionsMax, size, pool);
      result.observe(instruments.connectionWaiters, waiting, pool);
    }
    for (const [lane, waiting] of now.batchesWaiting)
      result.observe(instruments.batchWaiters, waiting, { "cortex.batch.lane": lane });
    result.observe(instruments.lockWaiters, now.locksWaiting);
    result.observe(instruments.feedLag, now.feedLagSeconds);
    result.observe(instruments.watchers, now.watches, { "cortex.watcher.kind": "watch" });
    result.observe(instruments.watchers, now.subscriptions, {
      "cortex.watcher.kind": "subscription",
    });
    const { user, system } = process.cpuUsage();
    result.observe(instruments.cpuTime, user / 1e6, { "cpu.mode": "user" });
    result.observe(instruments.cpuTime, system / 1e6, { "cpu.mode": "system" });
    result.observe(instruments.memory, process.memoryUsage.rss());
  };
  const readDatabase: BatchObservableCallback = (result) => {
    const use = observed.use();
    if (!use) return;
    const { all, tenants, ageSeconds } = use;
    result.observe(instruments.storedAge, ageSeconds);
    const { storedKeys, storedBytes, storedVersions, streamsPending } = instruments;
    const { tenantKeys, tenantBytes, tenantVersions, tenantPending } = instruments;
    const tell = (
      use: Omit<TenantUse, "tenant">,
      [keys, bytes, versions, pending]: [Observable, Observable, Observable, Observable],
      attributes = {},
    ) => {
      result.observe(keys, use.keys, attributes);
      result.observe(bytes, use.bytes, attributes);
      result.observe(versions, use.versions, attributes);
      result.observe(pending, use.pending, attributes);
    };
    tell(all, [storedKeys, storedBytes, storedVersions, streamsPending]);
    for (const one of tenants)
      tell(one, [tenantKeys, tenantBytes, tenantVersions, tenantPending], {
        "cortex.tenant": one.tenant,
      });
  };
  meter.addBatchObservableCallback(readProcess, ofProcess);
  meter.addBatchObservableCallback(readDatabase, ofDatabase);
  return () => {
    meter.removeBatchObservableCallback(readProcess, ofProcess);
    meter.removeBatchObservableCallback(readDatabase, ofDatabase);
  };
}
