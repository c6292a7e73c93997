// One way out: deadline, cancellation, retry of what is safe to repeat, and whatever fails as a CortexError.

import { setTimeout as pause } from "node:timers/promises";
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack, MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import {
  Client,
  type ClientReadableStream,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
  status as Status,
} from "@grpc/grpc-js";
import { ErrorReason } from "../gen/cortex/error/v1/error_pb.js";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";
import { CortexError, type ErrorCode } from "./error.js";

/** What any call takes. */
export interface CallOptions {
  /** Milliseconds until the call fails with DEADLINE_EXCEEDED, retries included. Default: the client's `timeoutMs`. */
  timeoutMs?: number | undefined;
  /** Ends the call early: it then fails with CANCELLED, and the signal's reason as `cause`. */
  signal?: AbortSignal | undefined;
}

const attemptsMax = 5;
const backoffMs = 50;
const backoffMsMax = 1000;

export class Caller {
  readonly #client: Client;
  readonly #metadata: Metadata;
  #closed = false;

  constructor(
    readonly address: string,
    headers: Record<string, string | undefined>,
    readonly timeoutMs: number,
  ) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1, // a connection of its own: no other client's trouble is ours
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.keepalive_time_ms": 60_000,
      "grpc.enable_retries": 0, // retried here, where it is known what is safe to repeat
    });
    this.#metadata = new Metadata();
    for (const [name, value] of Object.entries(headers))
      if (value !== undefined) this.#metadata.set(name, value);
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }

  /** Calls a unary RPC. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    return this.#retrying(method.idempotency, options, (deadline) => {
      let grpc: { cancel(): void } | undefined;
      return abortable(
        options.signal,
        () => grpc?.cancel(),
        (resolve, reject) => {
          grpc = this.#client.makeUnaryRequest(
            pathOf(method),
            (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
            (bytes: Buffer) => fromBinary(method.output, bytes),
            encodable(method.input, request),
            this.#metadata,
            { deadline },
            (error, response) => {
              if (error) reject(fromGrpc(error));
              else resolve(response as MessageShape<O>);
            },
          );
        },
      );
    });
  }

  /** Calls a server-streaming RPC; its messages, all of them. The streams of this API are bounded (a list ends at its limit). */
  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>[]> {
    return this.#retrying(method.idempotency, options, (deadline) => {
      let grpc: ClientReadableStream<MessageShape<O>> | undefined;
      return abortable(
        options.signal,
        () => grpc?.cancel(),
        (resolve, reject) => {
          const messages: MessageShape<O>[] = [];
          grpc = this.#client
            .makeServerStreamRequest(
              pathOf(method),
              (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
              (bytes: Buffer) => fromBinary(method.output, bytes),
              encodable(method.input, request),
              this.#metadata,
              { deadline },
            )
            .on("data", (message: MessageShape<O>) => messages.push(message))
            .on("error", (error: ServiceError) => reject(fromGrpc(error)))
            .on("end", () => resolve(messages));
        },
      );
    });
  }

  async #retrying<T>(
    idempotency: Idempotency,
    { timeoutMs = this.timeoutMs, signal }: CallOptions,
    attempt: (deadline: Date) => Promise<T>,
  ): Promise<T> {
    const deadline = new Date(Date.now() + checkTimeout(timeoutMs));
    for (let n = 1; ; n++) {
      try {
        await this.#connected(deadline, signal);
        return await attempt(deadline);
      } catch (error) {
        if (!(error instanceof CortexError) || n === attemptsMax || !repeatable(error, idempotency))
          throw error;
        const wait = Math.random() * Math.min(backoffMs * 2 ** n, backoffMsMax); // full jitter
        if (Date.now() + wait >= deadline.getTime()) throw error;
        await pause(wait, undefined, { signal }).catch(() => {
          throw cancelled(signal);
        });
      }
    }
  }

  /** Waits for a connection, so that what fails for want of one certainly never reached the server. */
  async #connected(deadline: Date, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw cancelled(signal);
    if (this.#closed) throw new CortexError("CANCELLED", "the client is closed");
    if (this.#client.getChannel().getConnectivityState(true) === connectivityState.READY) return;
    await abortable<void>(
      signal,
      () => {},
      (resolve, reject) => {
        this.#client.waitForReady(deadline, (error) => {
          if (!error) return resolve();
          const message = `no server answers at ${this.address}`;
          reject(new CortexError("UNAVAILABLE", message, { address: this.address, applied: "no" }));
        });
      },
    );
  }
}

const pathOf = (method: DescMethodUnary | DescMethodServerStreaming) =>
  `/${method.parent.typeName}/${method.name}`;

function encodable<I extends DescMessage>(schema: I, init: MessageInitShape<I>): MessageShape<I> {
  return create(schema, init);
}

function checkTimeout(timeoutMs: number): number {
  if (timeoutMs > 0 && timeoutMs <= 2 ** 31 - 1) return timeoutMs;
  const problem = `is not a number of milliseconds above 0: ${timeoutMs}`;
  throw new CortexError("INVALID_CONFIG", `timeoutMs ${problem}`, { field: "timeoutMs", problem });
}

/** What may be sent again: what certainly was not applied, and what may be applied twice. */
function repeatable(error: CortexError, idempotency: Idempotency): boolean {
  if (error.code === "CONFLICT" || error.details.applied === "no") return true;
  return (
    (error.code === "UNAVAILABLE" || error.code === "DATABASE_UNAVAILABLE") &&
    idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN
  );
}

function abortable<T>(
  signal: AbortSignal | undefined,
  cancel: () => void,
  run: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(cancelled(signal));
      cancel();
    };
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { once: true });
    const done =
      <A>(settle: (value: A) => void) =>
      (value: A) => {
        signal?.removeEventListener("abort", abort);
        settle(value);
      };
    run(done(resolve), done(reject));
  });
}

const cancelled = (signal: AbortSignal | undefined) =>
  new CortexError("CANCELLED", "the call was cancelled", {}, { cause: signal?.reason });

function fromGrpc(error: ServiceError): CortexError {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (Buffer.isBuffer(bytes)) {
    const [any] = fromBinary(StatusSchema, bytes).details;
    const info = any && anyUnpack(any, ErrorInfoSchema);
    if (info && info.reason in ErrorReason)
      return new CortexError(info.reason as ErrorCode, error.details, { ...info.metadata });
  }
  const details = { status: Status[error.code] ?? `${error.code}` };
  switch (error.code) {
    case Status.UNAVAILABLE:
    case Status.INTERNAL: // without a reason it is not the server's: the connection broke
      return new CortexError("UNAVAILABLE", error.details, details, { cause: error });
    case Status.DEADLINE_EXCEEDED:
      return new CortexError("DEADLINE_EXCEEDED", "the call ran out of time", details);
    case Status.CANCELLED:
      return new CortexError("CANCELLED", error.details, details);
    default:
      return new CortexError("UNKNOWN", `${details.status}: ${error.details}`, details, {
        cause: error,
      });
  }
}
