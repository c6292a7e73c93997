// One call: who makes it, its database connections, its cancellation, and its accounting until its end is
// logged.
import type { DescMessage, Message, MessageInitShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { authorize, authorizeMessage, type Endpoint, tenantOf } from "../auth/authorize.js";
import { type Credentials, isAllowed, type Permission, type Reach } from "../auth/credentials.js";
import { credentialsOfCall } from "../auth/interceptor.js";
import type { Config } from "../config/config.js";
import { CortexError, type Reason } from "../errors/reasons.js";
import type { Bus } from "../postgres/bus.js";
import type { Run } from "../postgres/connection.js";
import type { DatabaseMonitor } from "../postgres/monitor.js";
import type { Pools } from "../postgres/pools.js";
import type { DatabaseTransaction } from "../postgres/transaction.js";
import type { AccessCounter } from "../runtime/access-counter.js";
import type { Batchable, GroupCommits } from "../runtime/group-commit.js";
import type { CallCancellation, InFlight } from "../runtime/in-flight.js";
import type { KeptReplies } from "../runtime/kept-replies.js";
import type { KeyLocks } from "../runtime/key-locks.js";
import type { Quotas } from "../runtime/quotas.js";
import type { RateLimiter } from "../runtime/rate-limiter.js";
import type { Language } from "../search/language.js";
import type { WordForms } from "../search/word-forms.js";
import * as check from "../validation/fields.js";
import { logCall } from "./call-log.js";
import type { Listener } from "./listener.js";
import { agentHeader, headerValues, tenantHeader } from "./patches.js";
import { requestBytes } from "./request-bytes.js";

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
}

/** The identity of the caller. */
export interface Caller {
  tenant: string;
  /** The agent, as it names itself in `x-agent-id`. */
  agent: string | undefined;
  /** The principal of the credentials; undefined where there are none. */
  principal: string | undefined;
  /** The names that the credentials reach; undefined: all. */
  reach: Reach | undefined;
  /** True if the credentials have the permission. */
  may(permission: Permission): boolean;
}

/** The connection pools by load. Each statement runs for the call's tenant and under its signal. */
export interface CallDatabase {
  /** Runs one short statement. */
  short: Run;
  /** Runs one long statement that reads: a page of a list, a count. */
  scans: Run;
  /** Runs one search. */
  searches: Run;
  /** Runs one statement that waits for locks, for a moment at most. */
  lockWaiting: Run;
  /** True if `lockWaiting` has a connection free. */
  canWaitForLock: boolean;
  /** Runs one write that is too large for a batch. */
  large: Run;
  /** Runs the statement of a purge that only counts (a dry run). */
  purges: Run;
  /** Runs an item in a statement that other calls share. */
  submit<Item extends { tenant: string }, Reply>(
    kind: Batchable<Item, Reply>,
    item: Item,
  ): Promise<Reply>;
  /** Begins a transaction that waits for its caller. */
  begin(): Promise<DatabaseTransaction>;
  /** Begins a transaction that waits for nothing but locks. */
  beginCommit(): Promise<DatabaseTransaction>;
  beginPurge(): Promise<DatabaseTransaction>;
}

/** The state that all calls of a server process share. */
export interface SharedState {
  config: Config;
  quotas: Quotas;
  replies: KeptReplies;
  locks: KeyLocks;
  bus: Bus;
  access: AccessCounter;
  /** The language of searches. */
  language: Language;
  wordForms: WordForms;
  /** True while the background migration 0010 rewrites what records are found by. */
  hasFormerRecords: boolean;
  /** False while the background migration 0017 counts what was stored before: then rows must be counted. */
  usageIsKnown: boolean;
}

export interface ServerContext extends SharedState {
  /**
   * The credentials of every call if the server asks for none. undefined if it asks: then the interceptor has
   * checked the credentials of each call.
   */
  anonymous: Credentials | undefined;
  listener: Listener;
  rateLimiter: RateLimiter;
  pools: Pools;
  groupCommits: GroupCommits;
  log: Logger;
  inFlight: InFlight;
  monitor: DatabaseMonitor;
}

const toldToMonitor = new Set<Reason>(["DATABASE_UNAVAILABLE", "DATABASE_FULL", "OVERLOADED"]);
const gaveWay = "another tenant needed the connection of this transaction, which was idle";

class Connections implements CallDatabase {
  readonly #tenants: readonly string[];

  constructor(
    readonly context: ServerContext,
    readonly tenant: string,
    readonly cancellation: CallCancellation,
  ) {
    this.#tenants = [tenant];
  }

  get short(): Run {
    return this.context.pools.short.run(this.#tenants, this.cancellation.signal);
  }

  get scans(): Run {
    return this.context.pools.scans.run(this.#tenants, this.cancellation.signal);
  }

  get searches(): Run {
    return this.context.pools.searches.run(this.#tenants, this.cancellation.signal);
  }

  get lockWaiting(): Run {
    return this.context.pools.lockWaiting.run(this.#tenants, this.cancellation.signal);
  }

  get canWaitForLock(): boolean {
    return this.context.pools.lockWaiting.isFree(this.tenant);
  }

  get large(): Run {
    return this.context.pools.large.run(this.#tenants, this.cancellation.signal);
  }

  get purges(): Run {
    return this.context.pools.purges.run(this.#tenants, this.cancellation.signal);
  }

  submit<Item extends { tenant: string }, Reply>(
    kind: Batchable<Item, Reply>,
    item: Item,
  ): Promise<Reply> {
    return this.context.groupCommits.of(kind).submit(item, this.cancellation);
  }

  begin(): Promise<DatabaseTransaction> {
    const { cancellation } = this;
    return this.context.pools.transactions.begin(this.tenant, cancellation.signal, () =>
      cancellation.cancel(new CortexError("CONFLICT", { applied: "no", problem: gaveWay })),
    );
  }

  beginCommit(): Promise<DatabaseTransaction> {
    return this.context.pools.commits.begin(this.tenant, this.cancellation.signal);
  }

  beginPurge(): Promise<DatabaseTransaction> {
    return this.context.pools.purges.begin(this.tenant, this.cancellation.signal);
  }
}

/** A call from its first byte to its line in the log. */
export class ServerCall implements Caller {
  tenant = "";
  agent: string | undefined;
  principal: string | undefined;
  reach: Reach | undefined;
  requestId: string | undefined;
  dryRun = false;
  readonly startedAt = performance.now();
  readonly #cancellation: CallCancellation;
  #credentials: Credentials | undefined;
  /** Called when grpc-js is done with the call. Then the bytes of the reply no longer count as unsent. */
  #releaseReply: (() => void) | undefined;
  /** Called when the call has ended. Then the bytes of its request no longer count for its tenant. */
  #releaseRequest: (() => void) | undefined;
  /** True once grpc-js is done with the call: its end was sent, or the caller has gone. */
  isOver = false;

  constructor(
    readonly endpoint: Endpoint,
    readonly context: ServerContext,
    readonly grpc: ServerUnaryCall<unknown, Init> | Writable,
  ) {
    const { inFlight } = context;
    const cancellation = inFlight.open();
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
    this.tenant = tenantOf(credentials, this.tenant);
    authorize(credentials, this.endpoint, request);
    this.context.rateLimiter.take(this.tenant);
    this.context.listener.admit(this.grpc);
    this.#releaseRequest = requestBytes.admit(metadata, this.tenant);
    this.#credentials = credentials;
    if (request instanceof CortexError) throw request;
    const cancellation = this.#cancellation;
    return {
      caller: this,
      db: new Connections(this.context, this.tenant, cancellation),
      server: this.context,
      get signal() {
        return cancellation.signal;
      },
      fail: (reason) => cancellation.cancel(reason),
    };
  }

  /**
   * Admits a further message of a stream: rate-limits it, and throws if it reaches beyond the credentials.
   */
  admitMessage(message: unknown): void {
    requestBytes.release(this.grpc.metadata); // the messages before are done
    this.context.rateLimiter.take(this.tenant);
    if (this.#credentials) authorizeMessage(this.#credentials, this.endpoint, message as Message);
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
    if (this.endpoint.permission === "read") this.context.listener.admit(this.grpc, bytes);
  }

  /** Counts the reply as unsent until the call is over. */
  sendReply(bytes: number): void {
    if (!this.isOver) this.#releaseReply = this.context.listener.sending(this.grpc, bytes);
  }

  /** Keeps counting a message that its reader did not take, until the call is over. */
  keepUntilOver(release: (() => void) | undefined): void {
    if (this.isOver) release?.();
    else this.#releaseReply = release;
  }

  finish(error?: CortexError): void {
    this.#releaseRequest?.();
    this.context.inFlight.close(this.#cancellation);
    if (error && toldToMonitor.has(error.reason)) this.context.monitor.failed(error.cause);
    logCall(this, error);
  }
}

function requestIdOf(request: unknown): string | undefined {
  const { requestId } = (request ?? {}) as { requestId?: unknown };
  return typeof requestId === "string" ? requestId.slice(0, check.requestIdBytesMax) : undefined;
}
