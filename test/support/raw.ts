// A raw gRPC client. It can send the requests of broken clients and of clients in other languages. A request
// is a protobuf-es init or bytes.

import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import {
  create,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  MutableStore,
  type TransactRequestSchema,
  type TransactResponse,
  type TransactResponseSchema,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";

export interface Failure {
  /** The gRPC status code. */
  status: number;
  message: string;
  reason?: string;
  domain?: string;
  details?: Record<string, string>;
}

const watchMs = 200;

export class Raw {
  readonly client: Client;
  constructor(readonly address: string) {
    this.client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** The response, or the failure. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    headers: Record<string, string> = {},
    options: { deadline?: Date } = {},
  ): Promise<MessageShape<O> | Failure> {
    const bytes = toBinary(method.input, create(method.input, request));
    const reply = await this.bytes(method, Buffer.from(bytes), headers, options);
    return Buffer.isBuffer(reply) ? fromBinary(method.output, reply) : reply;
  }

  /**
   * Sends bytes as the request of a unary or server-streaming method. Returns the last response message, or
   * the failure. A watch and a subscription have no end: they are left after a moment.
   */
  bytes(
    method: DescMethod,
    bytes: Buffer,
    headers: Record<string, string> = {},
    options: { deadline?: Date } = {},
  ): Promise<Buffer | Failure> {
    const path = `/${method.parent.typeName}/${method.name}`;
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const same = (buffer: Buffer) => buffer;
    if (method.name === "Watch" || method.name === "Subscribe")
      return this.collect(method, bytes, headers, watchMs).then((sent) =>
        Array.isArray(sent) ? (sent.at(-1) ?? Buffer.alloc(0)) : sent,
      );
    return new Promise((resolve) => {
      if (method.methodKind === "unary") {
        this.client.makeUnaryRequest(path, same, same, bytes, metadata, options, (error, reply) =>
          resolve(error ? failure(error) : (reply as Buffer)),
        );
        return;
      }
      let last: Buffer = Buffer.alloc(0);
      this.client
        .makeServerStreamRequest(path, same, same, bytes, metadata, options)
        .on("data", (message: Buffer) => {
          last = message;
        })
        .on("error", (error: ServiceError) => resolve(failure(error)))
        .on("end", () => resolve(last));
    });
  }

  /** The messages that a server-streaming method sends within `ms`, or the failure. */
  collect(
    method: DescMethod,
    bytes: Buffer,
    headers: Record<string, string>,
    ms: number,
  ): Promise<Buffer[] | Failure> {
    const path = `/${method.parent.typeName}/${method.name}`;
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const same = (buffer: Buffer) => buffer;
    return new Promise((resolve) => {
      const messages: Buffer[] = [];
      const stream = this.client.makeServerStreamRequest(path, same, same, bytes, metadata);
      const timer = setTimeout(() => {
        resolve(messages);
        stream.cancel();
      }, ms);
      stream
        .on("data", (message: Buffer) => messages.push(message))
        .on("error", (error: ServiceError) => {
          clearTimeout(timer);
          resolve(failure(error));
        });
    });
  }

  close(): void {
    this.client.close();
  }
}

type Asked = NonNullable<MessageInitShape<typeof TransactRequestSchema>["message"]>;
type Answered = MessageShape<typeof TransactResponseSchema>["message"];

/** The caller's side of Transact, one message at a time. Throws a Failure if the call fails. */
export class RawTransaction {
  readonly raw: Raw;
  readonly stream: ClientDuplexStream<
    MessageInitShape<typeof TransactRequestSchema>,
    TransactResponse
  >;
  readonly #answers: AsyncIterator<TransactResponse>;

  constructor(
    address: string,
    headers: Record<string, string> = {},
    options: { deadline?: Date } = {},
  ) {
    this.raw = new Raw(address);
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const { input, output, name } = MutableStore.method.transact;
    this.stream = this.raw.client.makeBidiStreamRequest(
      `/${MutableStore.typeName}/${name}`,
      (message) => Buffer.from(toBinary(input, create(input, message))),
      (bytes: Buffer) => fromBinary(output, bytes),
      metadata,
      options,
    );
    this.stream.on("error", () => {});
    this.#answers = this.stream[Symbol.asyncIterator]();
  }

  send(message: Asked): void {
    this.stream.write({ message });
  }

  /** The next answer; undefined at the end of the stream. */
  async next(): Promise<Answered | undefined> {
    try {
      const { done, value } = await this.#answers.next();
      return done ? undefined : value.message;
    } catch (error) {
      throw failure(error as ServiceError);
    }
  }

  async ask(message: Asked): Promise<Answered> {
    this.send(message);
    return (await this.next()) ?? { case: undefined };
  }

  close(): void {
    this.stream.cancel();
    this.raw.close();
  }
}

function failure(error: ServiceError): Failure {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const any = Buffer.isBuffer(bytes) ? fromBinary(StatusSchema, bytes).details[0] : undefined;
  const info = any && anyUnpack(any, ErrorInfoSchema);
  return {
    status: error.code,
    message: error.details,
    ...(info && { reason: info.reason, domain: info.domain, details: { ...info.metadata } }),
  };
}
