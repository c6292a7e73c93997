// A call: what its handler works with, and its end in the log.
import type { DescMessage, Message, MessageInitShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { authorize, authorizeMessage, type Endpoint, tenantOf } from "../auth/authorize.js";
import { type Credentials, isAllowed, type Permission, type Reach } from "../auth/credentials.js";
import { credentialsOfCall } from "../auth/interceptor.js";
import type { Config } from "../config/config.js";
import { CortexError } from "../errors/reasons.js";
import type { Run } from "../postgres/connection.js";
import type { Pools } from "../postgres/pools.js";
import type { DatabaseTransaction } from "../postgres/transaction.js";
import type { AccessCounter } from "../runtime/access-counter.js";
import type { Batchable, GroupCommits } from "../runtime/group-commit.js";
import type { CallCancellation, InFlight } from "../runtime/in-flight.js";
import type { KeyLocks } from "../runtime/key-locks.js";
import type { Quotas } from "../runtime/quotas.js";
import type { RateLimiter } from "../runtime/rate-limiter.js";
import type { Language } from "../search/language.js";
import * as check from "../validation/fields.js";
import { agentHeader, tenantHeader } from "./codec.js";
import type { Listener } from "./listener.js";

export type Init = MessageInitShape<DescMessage>;
export type Writable = ServerWritableStream<unknown, Init> | ServerDuplexStream<unknown, Init>;

/** What a handler works with: all of it belongs to this one call. */
export interface Call {
  tenant: string;
  /** Which agent it is, by what it says of itself. */
  agent: string | undefined;
  /** Who it is, by its credentials; undefined where it has none. */
  principal: string | undefined;
  /** What names its credentials reach; undefined: all. */
  reach: Reach | undefined;
  /** Whether its credentials carry the permission. */
  may(permission: Permission): boolean;
  /** Aborts when the caller has gone or its deadline has passed. */
  signal: AbortSignal;
  /** Ends the call with a reason, whatever it is waiting for. */
  fail(reason: CortexError): void;
  /** Runs one short statement under the signal. */
  run: Run;
  /** Runs one long statement under the signal, apart from the short ones. */
  bulk: Run;
  /** Runs one search under the signal. */
  searches: Run;
  /** Runs one statement that may wait for locks, or is large. */
  patient: Run;
  /** Runs one purge, which takes long and waits for locks. */
  purges: Run;
  /** Runs one of a kind of statement that calls share. */
  share<Asked extends { tenant: string }, Reply>(
    shared: Batchable<Asked, Reply>,
    asked: Asked,
  ): Promise<Reply>;
  /** What the tenant may store. */
  quotas: Quotas;
  /** Keys that are locked for long. */
  locks: KeyLocks;
  /** Begins a transaction of several statements under the signal. */
  begin(): Promise<DatabaseTransaction>;
  /** Begins a transaction that purges. */
  beginPurge(): Promise<DatabaseTransaction>;
  access: AccessCounter;
  config: Config;
  /** Of searches. */
  language: Language;
}

export interface ServerContext {
  /** What callers may where nobody asks who they are; undefined: they are asked. */
  unasked: Credentials | undefined;
  listener: Listener;
  rates: RateLimiter;
  quotas: Quotas;
  database: Pools;
  shares: GroupCommits;
  locks: KeyLocks;
  access: AccessCounter;
  config: Config;
  language: Language;
  log: Logger;
  calls: InFlight;
}

/** A call that has been opened: its end in the log, and what a handler works with. */
export class ServerCall implements Call {
  tenant = "";
  agent: string | undefined;
  principal: string | undefined;
  reach: Reach | undefined;
  #credentials: Credentials | undefined;
  #requestId: string | undefined;
  #dryRun = false;
  readonly #start = performance.now();
  readonly #ending: CallCancellation;
  #sent: (() => void) | undefined;
  /** Whether its end is with the caller, or it has none any more: then nothing of it is on its way. */
  over = false;

  constructor(
    readonly endpoint: Endpoint,
    readonly context: ServerContext,
    readonly grpc: ServerUnaryCall<unknown, Init> | Writable,
  ) {
    const { calls } = context;
    const ending = calls.open();
    this.#ending = ending;
    // "cancelled" comes after every call, also after one that was answered.
    const gone = () => {
      if (calls.has(ending)) ending.cancel(new CortexError("CANCELLED"));
      this.over = true;
      this.#sent?.();
    };
    (grpc as ServerUnaryCall<unknown, Init>).once("cancelled", gone); // as on any kind of call
    if (grpc.cancelled) gone();
  }

  /** For a caller who may make it, a request that could be decoded, in a tenant that there may be. */
  with(request: unknown): Call {
    const { metadata } = this.grpc;
    const credentials = credentialsOfCall(metadata) ?? this.context.unasked;
    if (!credentials)
      throw new CortexError("UNAUTHENTICATED", { problem: "nobody looked at them" });
    this.principal = credentials.principal;
    this.reach = credentials.reach;
    this.#requestId = requestIdOf(request);
    this.#dryRun = (request as { dryRun?: unknown } | undefined)?.dryRun === true;
    this.agent = check.agentId([
      ...metadata.get(agentHeader),
      ...metadata.get(`${agentHeader}-bin`),
    ]);
    const asked = [...metadata.get(tenantHeader), ...metadata.get(`${tenantHeader}-bin`)];
    this.tenant = check.tenant(asked); // as the log has it, also where it is refused
    this.tenant = tenantOf(credentials, this.tenant);
    authorize(credentials, this.endpoint, request);
    this.context.rates.take(this.tenant);
    this.context.listener.admit(this.grpc);
    this.#credentials = credentials;
    if (request instanceof CortexError) throw request;
    return this;
  }

  /** A further message of the caller, which must not reach further than the credentials. */
  admit(message: unknown): void {
    this.context.rates.take(this.tenant);
    if (this.#credentials) authorizeMessage(this.#credentials, this.endpoint, message as Message);
    this.#requestId ??= requestIdOf((message as { message?: { value?: unknown } }).message?.value);
  }

  may(permission: Permission): boolean {
    return this.#credentials !== undefined && isAllowed(this.#credentials, permission);
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  fail(reason: CortexError): void {
    this.#ending.cancel(reason);
  }

  share<Asked extends { tenant: string }, Reply>(
    shared: Batchable<Asked, Reply>,
    asked: Asked,
  ): Promise<Reply> {
    return this.context.shares.of(shared).submit(asked, this.#ending);
  }

  get run(): Run {
    return this.context.database.short.run([this.tenant], this.signal);
  }

  get bulk(): Run {
    return this.context.database.scans.run([this.tenant], this.signal);
  }

  get searches(): Run {
    return this.context.database.searches.run([this.tenant], this.signal);
  }

  get patient(): Run {
    return this.context.database.lockWaiting.run([this.tenant], this.signal);
  }

  get purges(): Run {
    return this.context.database.purges.run([this.tenant], this.signal);
  }

  begin(): Promise<DatabaseTransaction> {
    return this.context.database.transactions.begin(this.tenant, this.signal);
  }

  beginPurge(): Promise<DatabaseTransaction> {
    return this.context.database.purges.begin(this.tenant, this.signal);
  }

  get quotas(): Quotas {
    return this.context.quotas;
  }

  get locks(): KeyLocks {
    return this.context.locks;
  }

  get access(): AccessCounter {
    return this.context.access;
  }

  get config(): Config {
    return this.context.config;
  }

  get language(): Language {
    return this.context.language;
  }

  /** Refuses a reply that its connection has no room for; of a read: what was written is told in any case. */
  admitReply(bytes: number): void {
    if (this.endpoint.permission === "read") this.context.listener.admit(this.grpc, bytes);
  }

  /** What its reader did not take is kept until it is over. */
  leave(sent: (() => void) | undefined): void {
    if (this.over) sent?.();
    else this.#sent = sent;
  }

  /** Its reply is on its way. */
  sending(bytes: number): void {
    if (!this.over) this.#sent = this.context.listener.sending(this.grpc, bytes);
  }

  finish(error?: CortexError): void {
    const { calls, log } = this.context;
    calls.close(this.#ending);
    if (error?.reason === "DATABASE_ERROR")
      log.error({ err: error.cause, error_id: error.details.error_id }, "an unexpected failure");
    if (this.#isAudited(error)) log.info(this.#said(error), "audit");
    else if (log.isLevelEnabled("debug")) log.debug(this.#said(error), "call");
  }

  /** Who did what, and what became of it: names, never values. */
  #said(error: CortexError | undefined) {
    return {
      rpc: this.endpoint.name,
      tenant: this.tenant,
      principal: this.principal,
      agent: this.agent,
      request_id: this.#requestId,
      dry_run: this.#dryRun || undefined,
      outcome: error?.reason ?? "OK",
      ...(error &&
        isRefusal(error) && { problem: error.details.problem, peer: this.grpc.getPeer() }),
      ms: Math.round((performance.now() - this.#start) * 10) / 10,
    };
  }

  #isAudited(error: CortexError | undefined): boolean {
    const { permission } = this.endpoint;
    switch (this.config.auditLog) {
      case "none":
        return false;
      case "all":
        return true;
      case "writes":
        if (permission === "write") return true;
    }
    return (error && isRefusal(error)) || permission === "purge" || permission === "admin";
  }
}

const isRefusal = ({ reason }: CortexError): boolean =>
  reason === "UNAUTHENTICATED" || reason === "PERMISSION_DENIED";

function requestIdOf(request: unknown): string | undefined {
  const { requestId } = (request ?? {}) as { requestId?: unknown };
  return typeof requestId === "string" ? requestId.slice(0, check.requestIdBytesMax) : undefined;
}
