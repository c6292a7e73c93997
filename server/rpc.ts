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
import type { Ending, InFlight } from "./in-flight.js";
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
  /** Runs one statement that may wait for locks, or is large. */
  patient: Run;
  purges: Run;
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

/** A call that has been opened: its end in the log, and what a handler works with. */
class Opened implements Call {
  tenant = "";
  readonly #start = performance.now();
  readonly #ending: Ending;

  constructor(
    readonly method: DescMethod,
    readonly context: Context,
    readonly grpc: ServerUnaryCall<unknown, Init> | Readable,
  ) {
    const { calls } = context;
    const ending = calls.open();
    this.#ending = ending;
    // "cancelled" comes after every call, also after one that was answered.
    const gone = () => calls.has(ending) && ending.end(new CortexError("CANCELLED"));
    (grpc as ServerUnaryCall<unknown, Init>).once("cancelled", gone); // as on any kind of call
    if (grpc.cancelled) gone();
  }

  /** For a request that could be decoded, in a tenant that there may be. */
  with(request: unknown): Call {
    const { metadata } = this.grpc;
    this.tenant = check.tenant([
      ...metadata.get(tenantHeader),
      ...metadata.get(`${tenantHeader}-bin`),
    ]);
    if (request instanceof CortexError) throw request;
    return this;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  fail(reason: CortexError): void {
    this.#ending.end(reason);
  }

  share<Asked, Reply>(shared: Shared<Asked, Reply>, asked: Asked): Promise<Reply> {
    return this.context.shares.of(shared).ask(asked, this.#ending);
  }

  get run(): Run {
    return this.context.database.calls.run(this.signal);
  }

  get bulk(): Run {
    return this.context.database.bulk.run(this.signal);
  }

  get patient(): Run {
    return this.context.database.patient.run(this.signal);
  }

  get purges(): Run {
    return this.context.database.purges.run(this.signal);
  }

  get transactions(): Transactions {
    return this.context.database.transactions;
  }

  get locks(): Locks {
    return this.context.locks;
  }

  get access(): AccessCounter {
    return this.context.access;
  }

  get config(): Config {
    return this.context.config;
  }

  finish(error?: CortexError): void {
    const { calls, log } = this.context;
    calls.close(this.#ending);
    if (error?.reason === "DATABASE_ERROR")
      log.error({ err: error.cause, error_id: error.details.error_id }, "an unexpected failure");
    if (log.isLevelEnabled("debug"))
      log.debug(
        {
          rpc: `${this.method.parent.typeName}/${this.method.name}`,
          tenant: this.tenant,
          outcome: error?.reason ?? "OK",
          ms: Math.round((performance.now() - this.#start) * 10) / 10,
        },
        "call",
      );
  }
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
    const opened = new Opened(method, context, grpc);
    try {
      reply(null, await handler(grpc.request, opened.with(grpc.request)));
      opened.finish();
    } catch (error) {
      const reason = reasonOf(error);
      reply(toStatus(reason));
      opened.finish(reason);
    }
  };
}

function serverStream(
  method: DescMethod,
  handler: Stream,
  context: Context,
): handleServerStreamingCall<unknown, Init> {
  return async (grpc) => {
    const opened = new Opened(method, context, grpc);
    await send(grpc, opened, () => handler(grpc.request, opened.with(grpc.request)));
  };
}

function conversation(
  method: DescMethod,
  handler: Conversation,
  context: Context,
): handleBidiStreamingCall<unknown, Init> {
  return async (grpc) => {
    const opened = new Opened(method, context, grpc);
    await send(grpc, opened, () => handler(received(grpc), opened.with(undefined)));
  };
}

/** Sends what a handler gives, as fast as it is read. */
async function send(
  grpc: Readable,
  opened: Opened,
  open: () => AsyncGenerator<Init>,
): Promise<void> {
  const { signal } = opened;
  try {
    // What a handler gives is sent, whatever has become of the call: it may say that a transaction was committed.
    for await (const message of open()) if (!grpc.write(message)) await drained(grpc, signal);
    grpc.end();
    opened.finish();
  } catch (error) {
    const reason = reasonOf(error);
    grpc.emit("error", toStatus(reason));
    opened.finish(reason);
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
