// Telemetry by OpenTelemetry: spans of calls and statements, and what is counted and measured.

import { status as Status } from "@grpc/grpc-js";
import {
  type Attributes,
  type Context,
  context,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
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

export class OpenTelemetry implements Telemetry {
  readonly #tracer = trace.getTracer(scope);
  readonly #instruments: Instruments;
  readonly #conventions: Conventions;
  /** The attributes of each RPC with each outcome: they are few, and made once. */
  readonly #byOutcome = new Map<string, { current: Attributes; former: Attributes }>();

  constructor(optIn: string | undefined) {
    this.#instruments = createInstruments(metrics.getMeter(scope));
    this.#conventions = new Conventions(optIn);
  }

  /** Tells what is so whenever metrics are collected. */
  observe(observed: Observed): () => void {
    return observe(metrics.getMeter(scope), this.#instruments, observed);
  }

  begin(rpc: string, carrier: TraceHeaders): TracedCall {
    const startedAt = performance.now();
    const caller = propagation.extract(ROOT_CONTEXT, carrier, headers);
    const { current, former } = this.#attributes(rpc, undefined, undefined);
    const attributes = { ...current, ...former };
    const span = this.#tracer.startSpan(rpc, { kind: SpanKind.SERVER, attributes }, caller);
    const within = trace.setSpan(caller, span);
    return {
      run: (work) => context.with(within, work),
      end: (status, reason) => {
        this.#ended(rpc, performance.now() - startedAt, status, reason, within);
        end(span, reason, this.#attributes(rpc, status, reason));
      },
    };
  }

  #ended(
    rpc: string,
    ms: number,
    status: string,
    reason: string | undefined,
    within: Context,
  ): void {
    const { current, former } = this.#attributes(rpc, status, reason);
    const { callDuration, formerCallDuration } = this.#instruments;
    const { rpc: chosen } = this.#conventions;
    if (chosen.current) callDuration.record(ms / 1000, current, within);
    if (chosen.former) formerCallDuration.record(ms, former, within);
  }

  #attributes(rpc: string, status: string | undefined, reason: string | undefined) {
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
        ? { ...this.#conventions.formerCall(rpc), ...(at && this.#conventions.formerEnd(at)) }
        : {},
    };
    this.#byOutcome.set(name, made);
    return made;
  }

  refused(reason: string): void {
    this.#instruments.callsRefused.add(1, { "error.type": reason });
  }

  here(): TracePoint | undefined {
    const span = trace.getActiveSpan();
    return span?.isRecording() ? span.spanContext() : undefined;
  }

  async statement<T>(
    pool: string,
    callers: readonly TracePoint[] | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    const span = this.#statementSpan(pool, callers);
    let failed: unknown;
    try {
      return await (span ? context.with(trace.setSpan(context.active(), span), work) : work());
    } catch (error) {
      failed = error;
      throw error;
    } finally {
      const error = failed === undefined ? {} : { "error.type": errorType(failed) };
      const attributes = {
        ...this.#conventions.database,
        "db.client.connection.pool.name": pool,
        ...error,
      };
      this.#instruments.statementDuration.record(
        (performance.now() - startedAt) / 1000,
        attributes,
      );
      if (span && failed !== undefined) {
        span.setAttributes(error);
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span?.end();
    }
  }

  /**
   * The span of a statement. One that calls share is in the trace of the first of them, and has links to all. There is none
   * if nobody records its calls.
   */
  #statementSpan(pool: string, callers: readonly TracePoint[] | undefined): Span | undefined {
    const attributes = {
      ...this.#conventions.database,
      "db.client.connection.pool.name": pool,
      ...(callers && { "db.operation.batch.size": callers.length }),
    };
    const kind = SpanKind.CLIENT;
    if (!callers) return this.here() && this.#tracer.startSpan("postgresql", { kind, attributes });
    const [first] = callers;
    if (!first) return undefined;
    const links = callers.map((caller) => ({ context: { ...caller, traceFlags: 1 } }));
    const within = trace.setSpanContext(ROOT_CONTEXT, { ...first, traceFlags: 1 });
    return this.#tracer.startSpan("postgresql", { kind, attributes, links }, within);
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

function end(
  span: Span,
  reason: string | undefined,
  { current, former }: { current: Attributes; former: Attributes },
): void {
  span.setAttributes({ ...current, ...former });
  if (reason !== undefined) {
    span.setAttribute("error.type", reason);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

/** The SQLSTATE of a failed statement, or the kind of the error. */
function errorType(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : String(name ?? "Error");
}
