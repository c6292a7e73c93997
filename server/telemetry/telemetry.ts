// What the server tells of itself: traces and metrics. Other rooms know these types only; open-telemetry.ts
// implements them, and is loaded only if telemetry is on. Never told: keys, values, users, tokens, SQL.

/** A place in a trace. Only its implementation looks into it. */
export interface TracePoint {
  readonly traceId: string;
  readonly spanId: string;
}

/** The headers of a call, from which its trace is read. */
export interface TraceHeaders {
  get(name: string): unknown[];
  getMap(): object;
}

/** No calls, or none that anybody records. */
export const noCallers: readonly TracePoint[] = [];

/** A call from its begin to its end. */
export interface TracedCall {
  /** Where it is in its trace; undefined: nobody records it. */
  readonly place: TracePoint | undefined;
  /** `reason` is undefined if the call did not fail. */
  end(status: string, reason: string | undefined): void;
}

export interface Telemetry {
  /** Begins a call, within the trace of its caller. `rpc`: `cortex.mutable.v1.MutableStore/Set`. */
  begin(rpc: string, headers: TraceHeaders): TracedCall;
  /** Counts a call that was refused for its credentials before it began. */
  refused(reason: string): void;
  /** Runs a statement on a connection of a pool. `callers`: the calls that it is for. */
  statement<T>(pool: string, callers: readonly TracePoint[], work: () => Promise<T>): Promise<T>;
  /** How many calls share a statement. */
  batch(lane: string, calls: number): void;
  /** How long a call waited for a connection of a pool. */
  waitedForConnection(pool: string, ms: number): void;
  /** How long a call waited for a lock. */
  waitedForLock(ms: number): void;
  /** How long a task of the server itself took. */
  did(task: string, ms: number, failed: boolean): void;
  /** How many rows a sweep has deleted. */
  swept(kind: string, rows: number): void;
}

/** What is so at one moment. */
export interface Observation {
  callsActive: number;
  pools: readonly { name: string; size: number; used: number; idle: number; waiting: number }[];
  /** Calls that wait for a batch, by lane. */
  batchesWaiting: ReadonlyMap<string, number>;
  locksWaiting: number;
  watches: number;
  subscriptions: number;
  /** Seconds since the feed's reader was last up to date; 0 if nobody watches. */
  feedLagSeconds: number;
}

/** What tenants store: the server's sums. */
export interface TenantUse {
  tenant: string;
  keys: number;
  bytes: number;
  versions: number;
  pending: number;
}

/** What all tenants store, and some of them alone, if they may be told. */
export interface StoredUse {
  all: Omit<TenantUse, "tenant">;
  tenants: readonly TenantUse[];
  /** How long ago it was read. */
  ageSeconds: number;
}

/** What metrics are made of when they are asked for. */
export interface Observed {
  now(): Observation;
  /** What was read last of the sums in the database; undefined: nothing yet. It waits for nothing. */
  use(): StoredUse | undefined;
}
