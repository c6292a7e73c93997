// Handlers -> grpc-js. A handler is an async function (a stream: an async generator) from request to response; it throws reasons.
// Decoding, the tenant, the deadline, errors, back-pressure and the log of calls are here, once.
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  Server,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { AccessCounter } from "./access.js";
import * as check from "./checks.js";
import type { Config } from "./config.js";
import type { Run } from "./connection.js";
import type { Database } from "./database.js";
import { CortexError, fromDatabase, toStatus, unforeseen } from "./errors.js";
import type { InFlight } from "./in-flight.js";
import type { Locks } from "./locks.js";
import type { Shared, Shares } from "./share.js";
import type { Transactions } from "./transactions.js";
import { decode, encoder, tenantHeader } from "./wire.js";

/** What a handler works with: all of it belongs to this one call. */
export interface Call {
  tenant: string;
  /** Aborts when the caller has gone or its deadline has passed. */
  signal: AbortSignal;
  /** Ends the call with a reason, whatever it is waiting for. */
  fail(reason: CortexError): void;
  /** Runs one short statement under the signal. */
  run: Run;
  /** Runs one long statement under the signal, apart from the short ones. */
  bulk: Run;
  /** Runs one of a kind of statement that calls share. */
  share<Asked, Reply>(shared: Shared<Asked, Reply>, asked: Asked): Promise<Reply>;
  /** Keys that are locked for long. */
  locks: Locks;
  transactions: Transactions;
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
      : Kind extends "server_streaming"
        ? (request: MessageShape<I>, call: Call) => AsyncGenerator<MessageInitShape<O>>
        : (
            requests: AsyncIterator<MessageShape<I>>,
            call: Call,
          ) => AsyncGenerator<MessageInitShape<O>>
    : never;
};

type Init = MessageInitShape<DescMessage>;
type Unary = (request: unknown, call: Call) => Promise<Init>;
type Stream = (request: unknown, call: Call) => AsyncGenerator<Init>;
type Conversation = (requests: AsyncIterator<unknown>, call: Call) => AsyncGenerator<Init>;
type Readable = ServerWritableStream<unknown, Init> | ServerDuplexStream<unknown, Init>;

export interface Context {
  database: Database;
  shares: Shares;
  locks: Locks;
  access: AccessCounter;
  config: Config;
  log: Logger;
  calls: InFlight;
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
        : method.methodKind === "server_streaming"
          ? serverStream(method, handler as unknown as Stream, context)
          : conversation(method, handler as unknown as Conversation, context);
  }
  server.addService(definition, implementation);
}

type Finish = (error?: CortexError) => void;

/** Opens a call: its signal, its tenant, its end in the log. */
function begin(
  method: DescMethod,
  context: Context,
  grpc: ServerUnaryCall<unknown, Init> | Readable,
): { call: (request: unknown) => Call; signal: AbortSignal; finish: Finish } {
  const { database, shares, locks, access, config, log, calls } = context;
  const controller = calls.open();
  const { signal } = controller;
  // "cancelled" comes after every call, also after one that was answered.
  const gone = () => calls.has(controller) && controller.abort(new CortexError("CANCELLED"));
  (grpc as ServerUnaryCall<unknown, Init>).once("cancelled", gone); // as on any kind of call
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
        fail: (reason) => controller.abort(reason),
        share: (shared, asked) => shares.of(shared).ask(asked, signal),
        locks,
        transactions: database.transactions,
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
    await send(grpc, signal, finish, () => handler(grpc.request, call(grpc.request)));
  };
}

function conversation(
  method: DescMethod,
  handler: Conversation,
  context: Context,
): handleBidiStreamingCall<unknown, Init> {
  return async (grpc) => {
    const { call, signal, finish } = begin(method, context, grpc);
    await send(grpc, signal, finish, () => handler(received(grpc), call(undefined)));
  };
}

/** Sends what a handler gives, as fast as it is read. */
async function send(
  grpc: Readable,
  signal: AbortSignal,
  finish: Finish,
  open: () => AsyncGenerator<Init>,
): Promise<void> {
  try {
    for await (const message of open()) {
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
}

/** The messages of the caller as they are asked for. */
async function* received(grpc: ServerDuplexStream<unknown, Init>): AsyncGenerator<unknown> {
  // The end of the caller's side is not the end of ours: the iterator would destroy both.
  for await (const message of grpc.iterator({ destroyOnReturn: false })) {
    if (message instanceof CortexError) throw message;
    yield message;
  }
}

/** Waits until the reader has caught up; on a call that has ended `drain` never comes, so the signal ends the wait too. */
function drained(grpc: Readable, signal: AbortSignal): Promise<void> {
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
