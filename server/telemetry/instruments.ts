// Every metric once: its name, unit and meaning. docs/telemetry.md has them all.
import type {
  Attributes,
  Counter,
  Histogram,
  Meter,
  ObservableCounter,
  ObservableGauge,
} from "@opentelemetry/api";

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Kinds {
  histogram: Histogram<Attributes>;
  counter: Counter<Attributes>;
  gauge: ObservableGauge<Attributes>;
  total: ObservableCounter<Attributes>;
}

interface Definition<Kind extends keyof Kinds = keyof Kinds> {
  kind: Kind;
  name: string;
  unit: string;
  description: string;
  boundaries?: number[];
}

const define = <Kind extends keyof Kinds>(definition: Definition<Kind>) => definition;

export const definitions = {
  callDuration: define({
    kind: "histogram",
    name: "rpc.server.call.duration",
    unit: "s",
    description: "Duration of calls, by RPC, status and reason of the error.",
    boundaries: seconds,
  }),
  formerCallDuration: define({
    kind: "histogram",
    name: "rpc.server.duration",
    unit: "ms",
    description: "The same under its former name, and in milliseconds.",
    boundaries: seconds.map((one) => one * 1000),
  }),
  callsActive: define({
    kind: "gauge",
    name: "cortex.calls.active",
    unit: "{call}",
    description: "Calls that are in progress, streams included.",
  }),
  callsRefused: define({
    kind: "counter",
    name: "cortex.calls.refused",
    unit: "{call}",
    description: "Calls that were refused for their credentials before they began.",
  }),
  statementDuration: define({
    kind: "histogram",
    name: "db.client.operation.duration",
    unit: "s",
    description: "Duration of statements in Postgres, by connection pool.",
    boundaries: seconds,
  }),
  connections: define({
    kind: "gauge",
    name: "cortex.pool.connections",
    unit: "{connection}",
    description: "Connections of each pool that are used, and idle.",
  }),
  connectionsMax: define({
    kind: "gauge",
    name: "db.client.connection.max",
    unit: "{connection}",
    description: "Connections that each pool may have.",
  }),
  connectionWaiters: define({
    kind: "gauge",
    name: "db.client.connection.pending_requests",
    unit: "{request}",
    description: "Callers that wait for a connection of each pool.",
  }),
  connectionWait: define({
    kind: "histogram",
    name: "db.client.connection.wait_time",
    unit: "s",
    description: "How long callers waited for a connection, where none was free.",
    boundaries: seconds,
  }),
  batchSize: define({
    kind: "histogram",
    name: "cortex.batch.size",
    unit: "{call}",
    description: "Calls that share a statement.",
    boundaries: [1, 2, 4, 8, 16, 32, 64, 128],
  }),
  batchWaiters: define({
    kind: "gauge",
    name: "cortex.batch.waiting",
    unit: "{call}",
    description: "Calls that are queued for the next batch.",
  }),
  lockWait: define({
    kind: "histogram",
    name: "cortex.lock.wait.duration",
    unit: "s",
    description: "How long calls waited for keys that others had locked.",
    boundaries: seconds,
  }),
  lockWaiters: define({
    kind: "gauge",
    name: "cortex.lock.waiting",
    unit: "{call}",
    description: "Calls that wait for keys that others have locked.",
  }),
  taskDuration: define({
    kind: "histogram",
    name: "cortex.task.duration",
    unit: "s",
    description: "Duration of the server's own tasks, such as sweeps.",
    boundaries: seconds,
  }),
  swept: define({
    kind: "counter",
    name: "cortex.sweep.deleted",
    unit: "{row}",
    description: "Rows that sweeps have deleted, by kind.",
  }),
  feedLag: define({
    kind: "gauge",
    name: "cortex.feed.lag",
    unit: "s",
    description: "Time since the reader of the change feed was up to date; 0 while nobody watches.",
  }),
  watchers: define({
    kind: "gauge",
    name: "cortex.watchers",
    unit: "{stream}",
    description: "Watches and subscriptions.",
  }),
  storedAge: define({
    kind: "gauge",
    name: "cortex.stored.age",
    unit: "s",
    description: "Time since the metrics of what is stored were read from the database.",
  }),
  storedKeys: define({
    kind: "gauge",
    name: "cortex.stored.keys",
    unit: "{key}",
    description: "Keys, claims, streams and groups that all tenants have.",
  }),
  storedBytes: define({
    kind: "gauge",
    name: "cortex.stored.bytes",
    unit: "By",
    description: "Bytes that all tenants store.",
  }),
  storedVersions: define({
    kind: "gauge",
    name: "cortex.stored.versions",
    unit: "{version}",
    description: "Versions of records that all tenants have.",
  }),
  streamsPending: define({
    kind: "gauge",
    name: "cortex.streams.pending",
    unit: "{entry}",
    description:
      "Entries of streams that groups have delivered and that are not acknowledged, and dead letters.",
  }),
  tenantKeys: define({
    kind: "gauge",
    name: "cortex.tenant.keys",
    unit: "{key}",
    description: "Keys, claims, streams and groups of a tenant (--metrics-tenants).",
  }),
  tenantBytes: define({
    kind: "gauge",
    name: "cortex.tenant.bytes",
    unit: "By",
    description: "Bytes that a tenant stores (--metrics-tenants).",
  }),
  tenantVersions: define({
    kind: "gauge",
    name: "cortex.tenant.versions",
    unit: "{version}",
    description: "Versions of records of a tenant (--metrics-tenants).",
  }),
  tenantPending: define({
    kind: "gauge",
    name: "cortex.tenant.pending",
    unit: "{entry}",
    description: "Pending entries and dead letters of a tenant (--metrics-tenants).",
  }),
  cpuTime: define({
    kind: "total",
    name: "process.cpu.time",
    unit: "s",
    description: "CPU time of the process since its start.",
  }),
  memory: define({
    kind: "gauge",
    name: "process.memory.usage",
    unit: "By",
    description: "Resident memory of the process.",
  }),
};

export type Instruments = {
  [Name in keyof typeof definitions]: Kinds[(typeof definitions)[Name]["kind"]];
};

export function createInstruments(meter: Meter): Instruments {
  const create = ({ kind, name, unit, description, boundaries }: Definition) => {
    const options = {
      unit,
      description,
      ...(boundaries && { advice: { explicitBucketBoundaries: boundaries } }),
    };
    switch (kind) {
      case "histogram":
        return meter.createHistogram(name, options);
      case "counter":
        return meter.createCounter(name, options);
      case "gauge":
        return meter.createObservableGauge(name, options);
      case "total":
        return meter.createObservableCounter(name, options);
    }
  };
  return Object.fromEntries(
    Object.entries(definitions).map(([name, definition]) => [name, create(definition)]),
  ) as unknown as Instruments;
}
