/** Traces of the client by OpenTelemetry: `cortex-store/opentelemetry`. It needs the package `@opentelemetry/api`. */
import {
  InterceptingCall,
  type Interceptor,
  type Metadata,
  type ServiceError,
  status as Status,
} from "@grpc/grpc-js";
import {
  type Attributes,
  context,
  propagation,
  SpanKind,
  SpanStatusCode,
  type TextMapSetter,
  trace,
} from "@opentelemetry/api";
import type { ClientTelemetry } from "../core/credentials.js";
import { fromGrpc } from "../core/error.js";
import type { StoreTelemetry } from "../store/telemetry.js";

const scope = "cortex-store";

const headers: TextMapSetter<Metadata> = {
  set: (metadata, name, value) => metadata.set(name, value),
};

/**
 * Traces calls by the SDK of OpenTelemetry that the program has started: each call has a span of its own in the trace that
 * is active where it is made, and the server goes on with that trace. The names of the attributes follow
 * OTEL_SEMCONV_STABILITY_OPT_IN (`rpc`, `rpc/dup`). Never told: keys, values, users, tokens.
 *
 * ```ts
 * import { openTelemetry } from "cortex-store/opentelemetry";
 * const cortex = new Cortex({ telemetry: openTelemetry() });
 * const store = CortexStore.create().withClient(cortex).withService("api").withTelemetry(openTelemetry()).build();
 * ```
 */
export function openTelemetry(): ClientTelemetry & Required<Pick<StoreTelemetry, "span">> {
  const optIn = (process.env.OTEL_SEMCONV_STABILITY_OPT_IN ?? "")
    .split(",")
    .map((one) => one.trim());
  const isBoth = optIn.includes("rpc/dup");
  const isCurrent = isBoth || optIn.includes("rpc");
  const names = { isCurrent, isFormer: isBoth || !isCurrent };
  return {
    interceptor: interceptorOf(names),
    span: (name, attributes, run) =>
      trace.getTracer(scope).startActiveSpan(name, { attributes }, async (span) => {
        try {
          return await run((outcome, more) => {
            span.setAttributes({ ...more, "igniter.store.event": `${name}.${outcome}` });
            if (outcome === "error") span.setStatus({ code: SpanStatusCode.ERROR });
          });
        } finally {
          span.end();
        }
      }),
  };
}

interface Names {
  isCurrent: boolean;
  isFormer: boolean;
}

const interceptorOf =
  (names: Names): Interceptor =>
  (options, nextCall) => {
    const call = nextCall(options); // it throws if the channel was closed meanwhile
    const rpc = options.method_definition.path.slice(1);
    const attributes = callAttributes(rpc, names);
    const span = trace.getTracer(scope).startSpan(rpc, { kind: SpanKind.CLIENT, attributes });
    const within = trace.setSpan(context.active(), span);
    return new InterceptingCall(call, {
      start(metadata, _, next) {
        const own = metadata.clone(); // the same object is that of other calls
        propagation.inject(within, own, headers);
        next(own, {
          onReceiveStatus(status, pass) {
            // Whoever leaves a watch or a scan cancels it: that is no error.
            const isOk = status.code === Status.OK || status.code === Status.CANCELLED;
            const reason = isOk ? undefined : fromGrpc(status as unknown as ServiceError).code;
            span.setAttributes(endAttributes(status.code, reason, names));
            if (!isOk) span.setStatus({ code: SpanStatusCode.ERROR });
            span.end();
            pass(status);
          },
        });
      },
    });
  };

function callAttributes(rpc: string, { isCurrent, isFormer }: Names): Attributes {
  const [service = "", method = ""] = rpc.split("/");
  return {
    ...(isFormer && { "rpc.system": "grpc", "rpc.service": service, "rpc.method": method }),
    ...(isCurrent && { "rpc.system.name": "grpc", "rpc.method": rpc }),
  };
}

const endAttributes = (
  code: Status,
  reason: string | undefined,
  { isCurrent, isFormer }: Names,
): Attributes => ({
  ...(isFormer && { "rpc.grpc.status_code": code }),
  ...(isCurrent && { "rpc.response.status_code": Status[code] }),
  ...(reason !== undefined && { "error.type": reason }),
});
