// Telemetry by OpenTelemetry: spans of calls and statements, and what is counted and measured.

import { status as Status } from "@grpc/grpc-js";
import {
  type Attributes,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { Conventions } from "./conventions.js";
import { createInstruments, type Instruments } from "./instruments.js";
import { observe } from "./observe.js";
import type { Observed, Telemetry, TracedCall, TraceHeaders, TracePoint } from "./telemetry.js";

const scope = "cortex-store-server";

const headers: TextMapGetter<TraceHeaders> = {
  keys: (carrier) => Object.keys(carrier.getMap()),
  get: (carrier, name) => {
    const [value] = carrier.get(name);
    return typeof value === "string" ? value : undefined;
  },
};

/** The attributes of a call, in both conventions. */
interface Outcome {
  current: Attributes;
  former: Attributes;
}

export class OpenTelemetry implements Telemetry {
  readonly #tracer = trace.getTracer(scope);
  readonly #instruments: Instruments;
  readonly #conventions: Conventions;
  /** The attributes of each RPC with each outcome: they are few, and made once. */
  readonly #byOutcome = new Map<string, Outcome>();
  readonly #byPool = new Map<string, Attributes>();
  readonly #traces: boolean;

  constructor({ traces, optIn }: { traces: boolean; optIn: string | undefined }) {
    this.#traces = traces;
    this.#instruments = createInstruments(metrics.getMeter(scope));
    this.#conventions = new Conventions(optIn);
  }

  /** Tells what is so whenever metrics are collected. */
  observe(observed: Observed): () => void {
    return observe(metrics.getMeter(scope), this.#instruments, observed);
  }

  begin(rpc: string, carrier: TraceHeaders): TracedCall {
    const startedAt = performance.now();
    const span = this.#traces ? this.#callSpan(rpc, carrier) : undefined;
    return {
      place: span?.spanContext(),
      end: (status, given) => {
        // Whoever leaves a watch or a scan cancels it: that is no error.
        const reason = status === "CANCELLED" ? undefined : given;
        const attributes = this.#attributes(rpc, status, reason);
        this.#measure(performance.now() - startedAt, attributes);
        if (span) end(span, status, attributes);
      },
    };
  }

  /** The span of a call; undefined if it is not sampled. */
  #callSpan(rpc: string, carrier: TraceHeaders): Span | undefined {
    const isTraced = propagation.fields().some((name) => carrier.get(name).length > 0);
    const caller = isTraced ? propagation.extract(ROOT_CONTEXT, carrier, headers) : ROOT_CONTEXT;
    const { current, former } = this.#attributes(rpc, undefined, undefined);
    const attributes = { ...current, ...former };
    const span = this.#tracer.startSpan(rpc, { kind: SpanKind.SERVER, attributes }, caller);
    return span.isRecording() ? span : undefined;
  }

  #measure(ms: number, { current, former }: Outcome): void {
    const { callDuration, formerCallDuration } = this.#instruments;
    const { rpc } = this.#conventions;
    if (rpc.current) callDuration.record(ms / 1000, current);
    if (rpc.former) formerCallDuration.record(ms, former);
  }

  #attributes(rpc: string, status: string | undefined, reason: string | undefined): Outcome {
    const name = `${rpc} ${status} ${reason}`;
    const known = this.#byOutcome.get(name);
    if (known) return known;
    const { rpc: chosen } = this.#conventions;
    const at = status && { name: status, code: Status[status as keyof typeof Status] as number };
    const made = {
      current: chosen.current
        ? { ...this.#conventions.call(rpc), ...(at && this.#conventions.end(at, reason)) }
        : {},
      former: chosen.former
        ? {
            ...this.#conventions.formerCall(rpc),
            ...(at && this.#conventions.formerEnd(at, reason)),
          }
        : {},
    };
    this.#byOutcome.set(name, made);
    return made;
  }

  refused(reason: string): void {
    this.#instruments.callsRefused.add(1, { "error.type": reason });
  }

  async statement<T>(
    pool: string,
    callers: readonly TracePoint[],
    work: () => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    const span = callers.length > 0 ? this.#statementSpan(pool, callers) : undefined;
    let error: string | undefined;
    try {
      return await work();
    } catch (thrown) {
      error = errorType(thrown);
      throw thrown;
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      this.#instruments.statementDuration.record(seconds, this.#ofPool(pool, error));
      if (span && error !== undefined)
        span.setAttribute("error.type", error).setStatus({ code: SpanStatusCode.ERROR });
      span?.end();
    }
  }

  /** The attributes of a statement: they are few, and made once. */
  #ofPool(pool: string, error: string | undefined): Attributes {
    const name = `${pool} ${error}`;
    const known = this.#byPool.get(name);
    if (known) return known;
    const made = {
      ...this.#conventions.database,
      "db.client.connection.pool.name": pool,
      ...(error !== undefined && { "error.type": error }),
    };
    this.#byPool.set(name, made);
    return made;
  }

  /** The span of a statement: in the trace of the first of its calls, with links to all. */
  #statementSpan(pool: string, callers: readonly TracePoint[]): Span {
    const attributes = {
      ...this.#ofPool(pool, undefined),
      "db.operation.batch.size": callers.length,
    };
    const links = callers.map((caller) => ({
      context: { ...caller, traceFlags: TraceFlags.SAMPLED },
    }));
    const [first] = links as [(typeof links)[number], ...typeof links];
    const within = trace.setSpanContext(ROOT_CONTEXT, first.context);
    return this.#tracer.startSpan(
      "postgresql",
      { kind: SpanKind.CLIENT, attributes, links },
      within,
    );
  }

  batch(lane: string, calls: number): void {
    this.#instruments.batchSize.record(calls, { "cortex.batch.lane": lane });
  }

  waitedForConnection(pool: string, ms: number): void {
    const attributes = { "db.client.connection.pool.name": pool };
    this.#instruments.connectionWait.record(ms / 1000, attributes);
  }

  waitedForLock(ms: number): void {
    this.#instruments.lockWait.record(ms / 1000);
  }

  did(task: string, ms: number, failed: boolean): void {
    const attributes = { "cortex.task.name": task, ...(failed && { "error.type": "failed" }) };
    this.#instruments.taskDuration.record(ms / 1000, attributes);
  }

  swept(kind: string, rows: number): void {
    if (rows > 0) this.#instruments.swept.add(rows, { "cortex.sweep.kind": kind });
  }
}

/** The statuses that are errors of the server: what the caller asked for wrongly is none. */
const faults = new Set([
  "UNKNOWN",
  "DEADLINE_EXCEEDED",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
]);

function end(span: Span, status: string, { current, former }: Outcome): void {
  span.setAttributes({ ...current, ...former });
  if (faults.has(status)) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

/** The SQLSTATE of a failed statement, or the kind of the error. */
function errorType(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : String(name ?? "Error");
}
