// Handlers -> grpc-js. A handler is an async function (a stream: an async generator) from request to response; it throws reasons.
// Decoding, the tenant, the deadline, errors, back-pressure and the log of calls are here, once.
import {
  type DescMessage,
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
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { type Endpoint, endpointOf } from "../auth/authorize.js";
import { CortexError, fromDatabase, toStatus, unforeseen } from "../errors/reasons.js";
import { type Call, type Init, ServerCall, type ServerContext, type Writable } from "./call.js";
import { decode, encoder } from "./codec.js";

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

/** Replies are serialized by their handlers, which are to know how large they are. */
const asItIs = (bytes: Init) => bytes as unknown as Buffer;

type Unary = (request: unknown, call: Call) => Promise<Init>;
type Stream = (request: unknown, call: Call) => AsyncGenerator<Init>;
type Conversation = (requests: AsyncIterator<unknown>, call: Call) => AsyncGenerator<Init>;

/** Serves a service: every method of its descriptor, none by hand. */
export function addService<S extends DescService>(
  server: Server,
  service: S,
  handlers: Handlers<S>,
  context: ServerContext,
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
      responseSerialize: asItIs,
      responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    };
    const endpoint = endpointOf(method);
    const handler = handlers[method.localName as keyof S["method"]];
    implementation[method.localName] =
      method.methodKind === "unary"
        ? unary(endpoint, handler as unknown as Unary, context)
        : method.methodKind === "server_streaming"
          ? serverStream(endpoint, handler as unknown as Stream, context)
          : conversation(endpoint, handler as unknown as Conversation, context);
  }
  server.addService(definition, implementation);
}

/** An aborted call fails with its signal's reason where it was thrown; a lost connection stays one: it may have written. */
function reasonOf(error: unknown): CortexError {
  return error instanceof CortexError ? error : (fromDatabase(error) ?? unforeseen(error));
}

function unary(
  endpoint: Endpoint,
  handler: Unary,
  context: ServerContext,
): handleUnaryCall<unknown, Init> {
  const encode = encoder(endpoint.method.output);
  return async (grpc, reply) => {
    const opened = new ServerCall(endpoint, context, grpc);
    try {
      const response = await handler(grpc.request, opened.with(grpc.request));
      const bytes = encode(response);
      opened.admitReply(bytes.length);
      opened.sending(bytes.length);
      reply(null, bytes as unknown as Init);
      opened.finish();
    } catch (error) {
      const reason = reasonOf(error);
      reply(toStatus(reason));
      opened.finish(reason);
    }
  };
}

function serverStream(
  endpoint: Endpoint,
  handler: Stream,
  context: ServerContext,
): handleServerStreamingCall<unknown, Init> {
  return async (grpc) => {
    const opened = new ServerCall(endpoint, context, grpc);
    await send(grpc, opened, () => handler(grpc.request, opened.with(grpc.request)));
  };
}

function conversation(
  endpoint: Endpoint,
  handler: Conversation,
  context: ServerContext,
): handleBidiStreamingCall<unknown, Init> {
  return async (grpc) => {
    const opened = new ServerCall(endpoint, context, grpc);
    await send(grpc, opened, () => handler(received(grpc, opened), opened.with(undefined)));
  };
}

/** Sends what a handler gives, as fast as it is read. */
async function send(
  grpc: Writable,
  opened: ServerCall,
  open: () => AsyncGenerator<Init>,
): Promise<void> {
  const encode = encoder(opened.endpoint.method.output);
  try {
    // One message is made while the one before is on its way. What a handler gives is sent as long as there is somebody to send it to, also
    // where the server stops: it may say that a transaction was committed.
    let before = Promise.resolve();
    for await (const message of open()) {
      await before;
      if (opened.over) throw opened.signal.reason;
      before = taken(grpc, encode(message), opened);
      before.catch(() => {}); // where the handler fails first
    }
    await before;
    grpc.end();
    opened.finish();
  } catch (error) {
    const reason = reasonOf(error);
    grpc.emit("error", toStatus(reason));
    opened.finish(reason);
  }
}

/** The messages of the caller as they are asked for. */
async function* received(
  grpc: ServerDuplexStream<unknown, Init>,
  opened: ServerCall,
): AsyncGenerator<unknown> {
  // The end of the caller's side is not the end of ours: the iterator would destroy both.
  for await (const message of grpc.iterator({ destroyOnReturn: false })) {
    if (message instanceof CortexError) throw message;
    opened.admit(message);
    yield message;
  }
}

/**
 * Sends a message; resolves when the reader's side has taken it, or the call is over (then it never does, and what the handler does next
 * says why). A reader that takes nothing for too long is given up.
 */
function taken(grpc: Writable, message: Buffer, opened: ServerCall): Promise<void> {
  const { signal, config, context } = opened;
  const { listener } = context;
  const sent = listener.sending(grpc, message.length);
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout;
    const done = (settle: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", gone);
      settle();
    };
    const gone = () => {
      sent?.();
      done(resolve);
    };
    const slow = () => {
      opened.leave(sent);
      done(() => reject(new CortexError("SLOW_READER", { limit: `${config.stallSeconds}` })));
    };
    const watch = (before?: number) => {
      timer = setTimeout(() => {
        const now = listener.taken(grpc);
        if (now !== before) watch(now);
        else slow();
      }, config.stallSeconds * 1000);
    };
    watch();
    signal.addEventListener("abort", gone, { once: true });
    grpc.write(message as unknown as Init, gone);
    if (signal.aborted) gone();
  });
}
