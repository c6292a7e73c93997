// Handlers -> grpc-js. A handler is an async function (a stream: an async generator) from request to response; it throws reasons.
// Decoding, the tenant, the deadline, errors, back-pressure and the log of calls are here, once.
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { AccessCounter } from "./access.js";
import * as check from "./checks.js";
import type { Config } from "./config.js";
import type { Database, Run } from "./database.js";
import { CortexError, fromDatabase, toStatus, unforeseen } from "./errors.js";

// A byte order mark is text like any other: the decoder's default would drop it, and two keys would be one.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8Strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
configureTextEncoding({
  ...getTextEncoding(),
  decodeUtf8: (bytes, strict) => (strict ? utf8Strict : utf8).decode(bytes),
});

// grpc-js drops a header that is not printable ASCII, so a call that names such a tenant would be one of the tenant "".
const tenantHeader = "x-tenant-id";
const fromHttp2Headers = Metadata.fromHttp2Headers;
Metadata.fromHttp2Headers = (headers) => {
  const metadata = fromHttp2Headers(headers);
  if (headers[tenantHeader] && metadata.get(tenantHeader).length === 0)
    metadata.set(`${tenantHeader}-bin`, Buffer.from("dropped"));
  return metadata;
};

/** What a handler works with: all of it belongs to this one call. */
export interface Call {
  tenant: string;
  /** Aborts when the caller has gone or its deadline has passed. */
  signal: AbortSignal;
  /** Runs one short statement under the signal. */
  run: Run;
  /** Runs one long statement under the signal, apart from the short ones. */
  bulk: Run;
  access: AccessCounter;
  config: Config;
}

export type Handlers<S extends DescService> = {
  [M in keyof S["method"]]: S["method"][M] extends {
    methodKind: infer Kind;
    input: infer I extends DescMessage;
    output: infer O extends DescMessage;
  }
    ? Kind extends "unary"
      ? (request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>
      : (request: MessageShape<I>, call: Call) => AsyncGenerator<MessageInitShape<O>>
    : never;
};

type Init = MessageInitShape<DescMessage>;
type Unary = (request: unknown, call: Call) => Promise<Init>;
type Stream = (request: unknown, call: Call) => AsyncGenerator<Init>;

export interface Context {
  database: Database;
  access: AccessCounter;
  config: Config;
  log: Logger;
  calls: InFlight;
}

/** The calls in flight, for the drain. */
export class InFlight {
  readonly #controllers = new Set<AbortController>();
  #idle: (() => void) | undefined;

  open(): AbortController {
    const controller = new AbortController();
    this.#controllers.add(controller);
    return controller;
  }

  has(controller: AbortController): boolean {
    return this.#controllers.has(controller);
  }

  close(controller: AbortController): void {
    this.#controllers.delete(controller);
    if (this.#controllers.size === 0) this.#idle?.();
  }

  /** Resolves when no call is in flight. */
  drained(): Promise<void> {
    if (this.#controllers.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** Ends them all: each was cancelled before it changed anything, or answers. */
  abort(): void {
    const reason = new CortexError("SHUTTING_DOWN", { applied: "no" });
    for (const controller of this.#controllers) controller.abort(reason);
  }
}

/** Serves a service: every method of its descriptor, none by hand. */
export function addService<S extends DescService>(
  server: Server,
  service: S,
  handlers: Handlers<S>,
  context: Context,
): void {
  const definition: Record<string, MethodDefinition<Init, Init>> = {};
  const implementation: Record<string, UntypedHandleCall> = {};
  for (const method of service.methods) {
    definition[method.localName] = {
      path: `/${service.typeName}/${method.name}`,
      requestStream:
        method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream:
        method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: encoder(method.input),
      requestDeserialize: (bytes) =>
        decode(method.input, bytes, context.config.messageBytesMax) as Init,
      responseSerialize: encoder(method.output),
      responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    };
    const handler = handlers[method.localName as keyof S["method"]];
    implementation[method.localName] =
      method.methodKind === "unary"
        ? unary(method, handler as unknown as Unary, context)
        : serverStream(method, handler as unknown as Stream, context);
  }
  server.addService(definition, implementation);
}

const encoder = (schema: DescMessage) => (init: Init) => {
  const bytes = toBinary(schema, create(schema, init));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};

// grpc-js answers INTERNAL where decoding throws, so what cannot be decoded travels to the handler as its refusal.
function decode(schema: DescMessage, bytes: Buffer, bytesMax: number): unknown {
  if (bytes.length > bytesMax)
    return new CortexError("MESSAGE_TOO_LARGE", { limit: `${bytesMax}`, got: `${bytes.length}` });
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    const problem = error instanceof Error ? error.message : "it is not a message";
    return new CortexError("MALFORMED_REQUEST", { problem });
  }
}

type Finish = (error?: CortexError) => void;

/** Opens a call: its signal, its tenant, its end in the log. */
function begin(
  method: DescMethod,
  context: Context,
  grpc: ServerUnaryCall<unknown, Init> | ServerWritableStream<unknown, Init>,
): { call: (request: unknown) => Call; signal: AbortSignal; finish: Finish } {
  const { database, access, config, log, calls } = context;
  const controller = calls.open();
  const { signal } = controller;
  // "cancelled" comes after every call, also after one that was answered.
  const gone = () => calls.has(controller) && controller.abort(new CortexError("CANCELLED"));
  grpc.once("cancelled", gone);
  if (grpc.cancelled) gone();
  const start = performance.now();
  let tenant: string | undefined;
  return {
    signal,
    call(request) {
      tenant = check.tenant([
        ...grpc.metadata.get(tenantHeader),
        ...grpc.metadata.get(`${tenantHeader}-bin`),
      ]);
      if (request instanceof CortexError) throw request;
      return {
        tenant,
        signal,
        access,
        config,
        run: database.calls.run(signal),
        bulk: database.bulk.run(signal),
      };
    },
    finish(error) {
      calls.close(controller);
      if (error?.reason === "DATABASE_ERROR")
        log.error({ err: error.cause, error_id: error.details.error_id }, "an unexpected failure");
      if (log.isLevelEnabled("debug"))
        log.debug(
          {
            rpc: `${method.parent.typeName}/${method.name}`,
            tenant,
            outcome: error?.reason ?? "OK",
            ms: Math.round((performance.now() - start) * 10) / 10,
          },
          "call",
        );
    },
  };
}

/** An aborted call fails with its signal's reason where it was thrown; a lost connection stays one: it may have written. */
function reasonOf(error: unknown): CortexError {
  return error instanceof CortexError ? error : (fromDatabase(error) ?? unforeseen(error));
}

function unary(
  method: DescMethod,
  handler: Unary,
  context: Context,
): handleUnaryCall<unknown, Init> {
  return async (grpc, reply) => {
    const { call, finish } = begin(method, context, grpc);
    try {
      const response = await handler(grpc.request, call(grpc.request));
      reply(null, response);
      finish();
    } catch (error) {
      const reason = reasonOf(error);
      reply(toStatus(reason));
      finish(reason);
    }
  };
}

function serverStream(
  method: DescMethod,
  handler: Stream,
  context: Context,
): handleServerStreamingCall<unknown, Init> {
  return async (grpc) => {
    const { call, signal, finish } = begin(method, context, grpc);
    try {
      for await (const message of handler(grpc.request, call(grpc.request))) {
        signal.throwIfAborted();
        if (!grpc.write(message)) await drained(grpc, signal);
      }
      grpc.end();
      finish();
    } catch (error) {
      const reason = reasonOf(error);
      grpc.emit("error", toStatus(reason));
      finish(reason);
    }
  };
}

/** Waits until the reader has caught up; on a call that has ended `drain` never comes, so the signal ends the wait too. */
function drained(grpc: ServerWritableStream<unknown, Init>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      grpc.off("drain", go);
      reject(signal.reason);
    };
    const go = () => {
      signal.removeEventListener("abort", stop);
      resolve();
    };
    if (signal.aborted) return stop();
    grpc.once("drain", go);
    signal.addEventListener("abort", stop, { once: true });
  });
}
