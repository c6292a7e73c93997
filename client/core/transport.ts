// Makes the calls to the server: deadline, cancellation, retries. Every failure is a CortexError.
import { randomUUID } from "node:crypto";
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { CallMetadata } from "./call-metadata.js";
import type {
  CallOptions,
  ClaimGuard,
  Conversation,
  EndlessOptions,
  ScopeStep,
  WriteOptions,
} from "./call-options.js";
import { decoder, encoder, pathOf } from "./codec.js";
import { Connection } from "./connection.js";
import { openConversation } from "./conversation.js";
import type { Security } from "./credentials.js";
import { CortexError, fromGrpc } from "./error.js";
import { checkGuard, guardOf } from "./guard.js";
import { Json } from "./json.js";
import {
  abortable,
  asCut,
  backOff,
  checkTimeout,
  ignore,
  linked,
  retrying,
  within,
} from "./retry.js";
import { scopedInit } from "./scope.js";
import { text } from "./validate.js";

export class Transport {
  readonly connection: Connection;
  readonly #metadata: CallMetadata;

  constructor(
    readonly address: string,
    readonly headers: Record<string, string | undefined>,
    readonly timeoutMs: number,
    readonly json: Json,
    readonly security: Security = {},
    connection?: Connection,
    /** The claim that guards all writes. */
    readonly guard?: ClaimGuard,
    /** The scope of all names. */
    readonly scope: readonly ScopeStep[] = [],
  ) {
    const { tls, token, interceptors } = security;
    this.connection = connection ?? new Connection(address, tls, interceptors);
    this.#metadata = new CallMetadata(headers, token);
  }

  /** True if the caller may have a new token when the old one is over. */
  get renewsToken(): boolean {
    return typeof this.security.token === "function";
  }

  /** Calls an RPC that writes, with a request id, so that it can be repeated if its reply is lost. */
  async write<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { requestId = randomUUID(), claim, ...options }: WriteOptions = {},
  ): Promise<MessageShape<O>> {
    const named = {
      ...request,
      requestId: text(requestId, "requestId", "INVALID_REQUEST_ID"),
      ...guardOf(method, claim, this.guard),
    };
    return this.#unary(method, named as MessageInitShape<I>, options, Idempotency.IDEMPOTENT);
  }

  /** The same for a write that waits for what others do. */
  waitingWrite<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: WriteOptions,
  ): Promise<MessageShape<O>> {
    const { connection, release } = this.connection.waiting.take();
    return this.#with({ connection }).write(method, request, options).finally(release);
  }

  /** The same transport for writes under a claim. */
  guarded(claim: ClaimGuard): Transport {
    return this.#with({ guard: checkGuard(claim) });
  }

  /** The same transport for names in a scope of this one's. */
  scoped(step: ScopeStep): Transport {
    return this.#with({ scope: [...this.scope, step], json: new Json(this.json.exactNumbers) });
  }

  /** The same transport for another agent. */
  as(agentId: string): Transport {
    return this.#with({ headers: { ...this.headers, "x-agent-id": agentId } });
  }

  #with(changed: Partial<Transport>): Transport {
    const all = { ...this, ...changed };
    const { address, headers, timeoutMs, json, security, connection, guard, scope } = all;
    return new Transport(address, headers, timeoutMs, json, security, connection, guard, scope);
  }

  /** Calls a unary RPC. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    return this.#unary(method, request, options, method.idempotency);
  }

  async #unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions,
    idempotency: Idempotency,
  ): Promise<MessageShape<O>> {
    return this.#retrying(idempotency, options, async (deadline) => {
      const metadata =
        this.#metadata.fixed ?? (await within(deadline, options.signal, this.#metadata.next()));
      let grpc: { cancel(): void } | undefined;
      const cancel = () => grpc?.cancel();
      return abortable(options.signal, cancel, (resolve, reject) => {
        grpc = this.connection.grpc.makeUnaryRequest(
          pathOf(method),
          encoder(method.input),
          decoder(method.output),
          scopedInit(method, request, this.scope),
          metadata,
          { deadline },
          (error, response) =>
            error ? reject(fromGrpc(error)) : resolve(response as MessageShape<O>),
        );
      });
    });
  }

  /** Calls a server-streaming RPC and returns all its messages. For short streams, such as one list. */
  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>[]> {
    return this.#retrying(method.idempotency, options, async (deadline) => {
      const { signal } = options;
      const grpc = await this.#begin(method, () => request, deadline, signal, { deadline });
      return abortable(
        signal,
        () => grpc.cancel(),
        (resolve, reject) => {
          const messages: MessageShape<O>[] = [];
          grpc
            .on("data", (message: MessageShape<O>) => messages.push(message))
            .on("error", (error: ServiceError) => reject(fromGrpc(error)))
            .on("end", () => resolve(messages));
        },
      );
    });
  }

  /**
   * Gives the messages of a server-streaming RPC one by one, in bounded memory: the server sends more only
   * when the caller takes them. `timeoutMs` bounds the wait for each message. `next` returns the request to
   * send: the first one, and after a failure that may be retried, the one that continues the stream.
   */
  async *messages<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    next: () => MessageInitShape<I>,
    { timeoutMs = this.timeoutMs, signal }: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const nextDeadline = () => new Date(Date.now() + checkTimeout(timeoutMs));
    for (let failures = 0; ; ) {
      let deadline = nextDeadline();
      let grpc: ClientReadableStream<MessageShape<O>> | undefined;
      try {
        grpc = await this.#begin(method, next, deadline, signal);
        const reading: AsyncIterator<MessageShape<O>> = grpc[Symbol.asyncIterator]();
        for (;;) {
          const { value, done } = await within(deadline, signal, reading.next());
          if (done) return;
          failures = 0;
          yield value;
          deadline = nextDeadline();
        }
      } catch (error) {
        await backOff(error, ++failures, method.idempotency, deadline, signal);
      } finally {
        grpc?.cancel();
      }
    }
  }

  /**
   * Gives the messages of a server-streaming RPC that has no end, and goes on after a lost connection. Fails if it has
   * tried for `timeoutMs` to reach a server, with an error that would come again, or when the client is closed. The
   * server sends something every 10 seconds.
   */
  async *endless<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    next: () => MessageInitShape<I>,
    options: EndlessOptions = {},
  ): AsyncGenerator<MessageShape<O>, never, undefined> {
    const { connection, release } = this.connection.waiting.take();
    try {
      return yield* this.#with({ connection }).#endless(method, next, options);
    } finally {
      release();
    }
  }

  async *#endless<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    next: () => MessageInitShape<I>,
    { timeoutMs = endlessMs, beginMs = timeoutMs, signal: own }: EndlessOptions,
  ): AsyncGenerator<MessageShape<O>, never, undefined> {
    let grpc: ClientReadableStream<MessageShape<O>> | undefined;
    // It ends also while the caller is busy with a message.
    const { signal, unlink } = linked([this.connection.closing, own], () => grpc?.cancel());
    try {
      for (let deadline = new Date(Date.now() + checkTimeout(beginMs)), failures = 0; ; ) {
        let hasBegun = false;
        try {
          grpc = await this.#begin(method, next, deadline, signal);
          const reading: AsyncIterator<MessageShape<O>> = grpc[Symbol.asyncIterator]();
          for (let silent = deadline; ; silent = new Date(Date.now() + silenceMs)) {
            const { value, done } = await within(silent, signal, reading.next());
            if (done) throw new CortexError("UNAVAILABLE", "the server ended the stream");
            hasBegun = true;
            failures = 0;
            yield value;
          }
        } catch (error) {
          if (hasBegun) deadline = new Date(Date.now() + checkTimeout(timeoutMs));
          const cut = asCut(error, hasBegun && this.renewsToken);
          await backOff(error, ++failures, method.idempotency, deadline, signal, cut);
        } finally {
          grpc?.cancel();
        }
      }
    } finally {
      unlink();
    }
  }

  /** Opens a stream once there is a connection. */
  async #begin<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    next: () => MessageInitShape<I>,
    deadline: Date,
    signal: AbortSignal | undefined,
    options: { deadline?: Date } = {},
  ): Promise<ClientReadableStream<MessageShape<O>>> {
    await this.connection.ready(deadline, signal);
    const metadata =
      this.#metadata.fixed ?? (await within(deadline, signal, this.#metadata.next()));
    const request = scopedInit(method, next(), this.scope);
    const [send, receive] = [encoder(method.input), decoder(method.output)];
    return this.connection.grpc
      .makeServerStreamRequest(pathOf(method), send, receive, request, metadata, options)
      .on("error", ignore); // it may come when nobody reads any more, and would end the process
  }

  /** Opens a call in which both sides send messages. The server answers each message with one. */
  async conversation<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    deadline: Date,
    signal: AbortSignal | undefined,
  ): Promise<Conversation<MessageInitShape<I>, MessageShape<O>>> {
    await this.connection.ready(deadline, signal);
    const metadata =
      this.#metadata.fixed ?? (await within(deadline, signal, this.#metadata.next()));
    return openConversation(this.connection.grpc, method, metadata, { deadline, signal });
  }

  #retrying<T>(
    idempotency: Idempotency,
    { timeoutMs = this.timeoutMs, signal }: CallOptions,
    attempt: (deadline: Date) => Promise<T>,
  ): Promise<T> {
    return retrying(idempotency, timeoutMs, signal, async (deadline) => {
      await this.connection.ready(deadline, signal);
      return attempt(deadline);
    });
  }
}

const endlessMs = 60_000;
const silenceMs = 30_000; // three times as long as the server is silent
