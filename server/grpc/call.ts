// One call: who makes it, its database connections, its cancellation, and its accounting until its end is
// logged.
import type { DescMessage, Message, MessageInitShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import {
  authorize,
  authorizeMessage,
  authorizeScope,
  type Endpoint,
  tenantOf,
} from "../auth/authorize.js";
import {
  areSame,
  type Credentials,
  isAllowed,
  type Permission,
  type Reach,
} from "../auth/credentials.js";
import { credentialsOfCall } from "../auth/interceptor.js";
import { CortexError, type Reason } from "../errors/reasons.js";
import { statusName } from "../errors/status.js";
import type { CallCancellation } from "../runtime/in-flight.js";
import type { TracedCall } from "../telemetry/telemetry.js";
import * as check from "../validation/fields.js";
import { type CallDatabase, Connections } from "./call-database.js";
import { isAccessRefused, logCall } from "./call-log.js";
import type { ServerContext, SharedState } from "./context.js";
import { agentHeader, headerValues, tenantHeader } from "./patches.js";
import { requestBytes } from "./request-bytes.js";
import { composeNames, scopeOfRequest, withoutScope } from "./scope.js";

export type Init = MessageInitShape<DescMessage>;
export type Writable = ServerWritableStream<unknown, Init> | ServerDuplexStream<unknown, Init>;

/** The second argument of every handler. */
export interface Call {
  caller: Caller;
  db: CallDatabase;
  server: SharedState;
  /** Aborts when the caller has gone, the deadline has passed or the server stops. */
  signal: AbortSignal;
  /** Ends the call with a reason, whatever it is waiting for. */
  fail(reason: CortexError): void;
  /** Waits until there is room for a message of a stream, and makes it. The handler is to give it at once. */
  inRoom<T>(make: () => T): Promise<T>;
  /** Throws if the credentials of the call are not valid any more, or say something else than when it began. */
  reauthenticate(): Promise<void>;
}

/** The identity of the caller. */
export interface Caller {
  tenant: string;
  /** The path of the scope, as it stands before names (validation/scope.ts); "" for none. */
  scope: string;
  /** The agent, as it names itself in `x-agent-id`. */
  agent: string | undefined;
  /** The principal of the credentials; undefined where there are none. */
  principal: string | undefined;
  /** The names that the credentials reach; undefined: all. */
  reach: Reach | undefined;
  /** True if the credentials have the permission. */
  may(permission: Permission): boolean;
}

const recheckMs = 5000;
const toldToMonitor = new Set<Reason>(["DATABASE_UNAVAILABLE", "DATABASE_FULL", "OVERLOADED"]);

/** A call from its first byte to its line in the log. */
export class ServerCall implements Caller {
  tenant = "";
  scope = "";
  agent: string | undefined;
  principal: string | undefined;
  reach: Reach | undefined;
  requestId: string | undefined;
  dryRun = false;
  readonly startedAt = performance.now();
  readonly #cancellation: CallCancellation;
  readonly #traced: TracedCall | undefined;
  #credentials: Credentials | undefined;
  /** Called when grpc-js is done with the call. Then the bytes of the reply no longer count as unsent. */
  #releaseReply: (() => void) | undefined;
  /** Called when the call has ended. Then the bytes of its request no longer count for its tenant. */
  #releaseRequest: (() => void) | undefined;
  /** Set from when there is room for a message of its stream (inRoom) until that is counted as unsent. */
  #releaseRoom: (() => void) | undefined;
  /** Why its credentials do not count any more; undefined while they do. */
  withdrawn: CortexError | undefined;
  /** True once grpc-js is done with the call: its end was sent, or the caller has gone. */
  isOver = false;

  constructor(
    readonly endpoint: Endpoint,
    readonly context: ServerContext,
    readonly grpc: ServerUnaryCall<unknown, Init> | Writable,
  ) {
    const { inFlight, telemetry } = context;
    this.#traced = telemetry?.begin(endpoint.name, grpc.metadata);
    const cancellation = inFlight.open(endpoint.waits);
    this.#cancellation = cancellation;
    // grpc-js emits "cancelled" at the end of every call, also of one that was answered.
    const onEnd = () => {
      if (inFlight.has(cancellation)) cancellation.cancel(new CortexError("CANCELLED"));
      this.isOver = true;
      this.#releaseReply?.();
    };
    // The event exists on every kind of call.
    (grpc as ServerUnaryCall<unknown, Init>).once("cancelled", onEnd);
    if (grpc.cancelled) onEnd();
  }

  /**
   * Resolves the tenant, authorizes and rate-limits; throws the reason if the call is refused or undecodable.
   */
  admit(request: unknown): Call {
    const { metadata } = this.grpc;
    const credentials = credentialsOfCall(metadata) ?? this.context.anonymous;
    if (!credentials)
      throw new CortexError("UNAUTHENTICATED", { problem: "its credentials were not checked" });
    this.principal = credentials.principal;
    this.reach = credentials.reach;
    this.requestId = requestIdOf(request);
    this.dryRun = (request as { dryRun?: unknown } | undefined)?.dryRun === true;
    this.agent = check.agentId(headerValues(metadata, agentHeader));
    // The tenant is set before it is authorized, so that the log shows it if it is refused.
    this.tenant = check.tenant(headerValues(metadata, tenantHeader));
    if (this.context.config.requireTenant && this.tenant === "")
      throw new CortexError("INVALID_TENANT", { field: tenantHeader, problem: "is missing" });
    this.tenant = tenantOf(credentials, this.tenant);
    authorize(credentials, this.endpoint, request);
    this.context.rateLimiter.take(this.tenant);
    this.context.listener.admit(this.grpc, this.tenant);
    this.#releaseRequest = requestBytes.admit(metadata, this.tenant);
    this.#credentials = credentials;
    if (request instanceof CortexError) throw request;
    if (request) this.#enterScope(credentials, request as Message);
    const cancellation = this.#cancellation;
    return {
      caller: this,
      db: new Connections(this.context, this.tenant, cancellation, this.#traced?.place),
      server: this.context,
      get signal() {
        return cancellation.signal;
      },
      fail: (reason) => cancellation.cancel(reason),
      inRoom: (make) => this.#inRoom(make),
      reauthenticate: () => this.reauthenticate(),
    };
  }

  /** Takes the scope from the request, or from the first message of a stream, and puts the names into it. */
  #enterScope(credentials: Credentials, request: Message): void {
    this.scope ||= scopeOfRequest(request);
    authorizeScope(credentials, this.scope);
    composeNames(this.endpoint.method.input, request, this.scope);
  }

  /** The response as the caller sees it. */
  shown<T>(response: T): T {
    return this.scope === "" ? response : withoutScope(response, this.scope);
  }

  async #inRoom<T>(make: () => T): Promise<T> {
    const { grpc, tenant, signal } = this;
    this.#releaseRoom = await this.context.listener.room(grpc as Writable, tenant, signal);
    signal.throwIfAborted();
    return make();
  }

  /** Gives back the room of a message: it is sent, and counted, or will not be. */
  leaveRoom(): void {
    this.#releaseRoom?.();
    this.#releaseRoom = undefined;
  }

  async reauthenticate(): Promise<void> {
    this.signal.throwIfAborted();
    const credentials = await this.context.authenticator?.authenticate(this.grpc);
    if (!credentials || !this.#credentials || areSame(credentials, this.#credentials)) return;
    const problem = "its credentials were changed since it began";
    throw new CortexError("PERMISSION_DENIED", { problem });
  }

  /** Ends the call when its credentials are withdrawn or expire. Returns a function that stops the checks. */
  watchCredentials(): () => void {
    if (!this.context.authenticator) return () => {};
    const timer = setInterval(() => {
      this.reauthenticate().catch((error: unknown) => {
        if (!(error instanceof CortexError) || !isAccessRefused(error)) return; // it is not known: ask again
        this.withdrawn = error;
        this.#cancellation.cancel(error);
      });
    }, recheckMs).unref();
    return () => clearInterval(timer);
  }

  /**
   * Admits a further message of a stream: rate-limits it, and throws if it reaches beyond the credentials.
   */
  admitMessage(message: unknown): void {
    requestBytes.release(this.grpc.metadata); // the messages before are done
    this.context.rateLimiter.take(this.tenant);
    if (this.#credentials) {
      authorizeMessage(this.#credentials, this.endpoint, message as Message);
      this.#enterScope(this.#credentials, message as Message);
    }
    this.requestId ??= requestIdOf((message as { message?: { value?: unknown } }).message?.value);
  }

  may(permission: Permission): boolean {
    return this.#credentials !== undefined && isAllowed(this.#credentials, permission);
  }

  get signal(): AbortSignal {
    return this.#cancellation.signal;
  }

  /** Refuses the reply of a read that its connection has no room for. The reply of a write is always sent. */
  admitReply(bytes: number): void {
    if (this.endpoint.permissions.every((permission) => permission === "read"))
      this.context.listener.admit(this.grpc, this.tenant, bytes);
  }

  /** Counts the reply as unsent until the call is over. */
  sendReply(bytes: number): void {
    if (this.isOver) return;
    this.#releaseReply = this.context.listener.sending(this.grpc, this.tenant, bytes);
  }

  /** Keeps counting a message that its reader did not take, until the call is over. */
  keepUntilOver(release: (() => void) | undefined): void {
    if (this.isOver) {
      release?.();
      return;
    }
    const releaseOthers = this.#releaseReply; // of a message that was made while this one was on its way
    this.#releaseReply = () => {
      releaseOthers?.();
      release?.();
    };
  }

  finish(error?: CortexError): void {
    this.#releaseRequest?.();
    this.context.inFlight.close(this.#cancellation);
    if (error && toldToMonitor.has(error.reason)) this.context.monitor.failed(error.cause);
    this.#traced?.end(error ? statusName(error.reason) : "OK", error?.reason);
    logCall(this, error);
  }
}

function requestIdOf(request: unknown): string | undefined {
  const { requestId } = (request ?? {}) as { requestId?: unknown };
  return typeof requestId === "string" ? requestId.slice(0, check.requestIdBytesMax) : undefined;
}
