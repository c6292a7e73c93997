// Services -> grpc-js. A handler is an async function that turns a request into a response (for a stream: an
// async generator), and throws reasons. Decoding, admission, errors and the log of calls are here, once for
// all RPCs.
import type { DescMessage, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { handleUnaryCall, MethodDefinition, Server, UntypedHandleCall } from "@grpc/grpc-js";
import { decode as decodeMessage, encode } from "../../wire/codec.js";
import { type Endpoint, endpointOf, type Permissions } from "../auth/authorize.js";
import { reasonOf } from "../errors/sqlstate.js";
import { toStatus } from "../errors/status.js";
import { type Call, type Init, ServerCall } from "./call.js";
import { decode } from "./codec.js";
import type { ServerContext } from "./context.js";
import { bidiStream, serverStream } from "./streaming.js";

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

/**
 * A service: its descriptor, with a handler and a permission for each RPC. One that is missing does not
 * compile.
 */
export interface Service<S extends DescService = DescService> {
  descriptor: S;
  handlers: Handlers<S>;
  permissions: Permissions<S>;
  /** The RPCs that wait for what others do: see Endpoint. */
  waiting?: readonly (keyof S["method"])[];
}

export const defineService = <S extends DescService>(service: Service<S>): Service<S> => service;

type UnaryHandler = (request: unknown, call: Call) => Promise<Init>;

/** The handlers give serialized replies to grpc-js, since they need to know how large a reply is. */
const alreadySerialized = (bytes: Init) => bytes as unknown as Buffer;

/** Serves every method of a service. */
export function addService<S extends DescService>(
  server: Server,
  { descriptor, handlers, permissions, waiting = [] }: Service<S>,
  context: ServerContext,
): void {
  const definition: Record<string, MethodDefinition<Init, Init>> = {};
  const implementation: Record<string, UntypedHandleCall> = {};
  for (const method of descriptor.methods) {
    const name = method.localName as keyof S["method"];
    definition[method.localName] = {
      path: `/${descriptor.typeName}/${method.name}`,
      requestStream:
        method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream:
        method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: (request) => encode(method.input, request),
      requestDeserialize: (bytes) =>
        decode(method.input, bytes, context.config.messageBytesMax) as Init,
      responseSerialize: alreadySerialized,
      responseDeserialize: (bytes) => decodeMessage(method.output, bytes),
    };
    const endpoint = endpointOf(method, permissions[name], waiting.includes(name));
    const handler = handlers[name] as never;
    implementation[method.localName] =
      method.methodKind === "unary"
        ? unary(endpoint, handler, context)
        : method.methodKind === "server_streaming"
          ? serverStream(endpoint, handler, context)
          : bidiStream(endpoint, handler, context);
  }
  server.addService(definition, implementation);
}

function unary(
  endpoint: Endpoint,
  handler: UnaryHandler,
  context: ServerContext,
): handleUnaryCall<unknown, Init> {
  const { output } = endpoint.method;
  return async (grpc, reply) => {
    const call = new ServerCall(endpoint, context, grpc);
    try {
      const response = await handler(grpc.request, call.admit(grpc.request));
      const bytes = encode(output, call.shown(response));
      call.admitReply(bytes.length);
      call.sendReply(bytes.length);
      reply(null, bytes as unknown as Init);
      call.finish();
    } catch (error) {
      const reason = reasonOf(error);
      reply(toStatus(reason));
      call.finish(reason);
    }
  };
}
