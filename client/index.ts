/** The client of the Cortex Store: the store that teams of AI agents share their state through. */

import { Holder } from "./claims/claims.js";
import { isAddress } from "./core/address.js";
import type { ClientTelemetry, TlsOptions, Token } from "./core/credentials.js";
import { refused } from "./core/error.js";
import { Json } from "./core/json.js";
import { checkTimeout } from "./core/retry.js";
import { Transport } from "./core/transport.js";
import { header, rejectUnknown } from "./core/validate.js";
import { Surface } from "./scopes/scope.js";
import { Users } from "./users/users.js";

export type { Claim, ClaimRecord } from "./claims/claim.js";
export type {
  AcquireOptions,
  ClaimListOptions,
  ClaimListResult,
  Claims,
} from "./claims/claims.js";
export type { CallOptions, ClaimGuard, ScopeStep, WriteOptions } from "./core/call-options.js";
export type { ClientTelemetry, TlsOptions, Token } from "./core/credentials.js";
export { CortexError, type ErrorCode, type ErrorDetails } from "./core/error.js";
export { ExactNumber } from "./core/numbers.js";
export type { ChangeKindName, WatchOptions } from "./core/watch.js";
export type { EventEnvelope, EventOptions, EventToPublish } from "./events/event.js";
export type { Events, PublishOptions } from "./events/events.js";
export type { EventHandler, StreamOptions, SubscribeOptions } from "./events/subscription.js";
export type {
  ImmutableFilters,
  ImmutableListFilters,
  ImmutableOrder,
  ImmutableSearchFilters,
} from "./immutable/filters.js";
export type {
  Immutable,
  ImmutableListResult,
  ImmutablePurgeManyOptions,
  ImmutablePurgeManyResult,
  ImmutablePurgeResult,
  ImmutableSearchResult,
  PurgeVersionsOptions,
  Retention,
  StoreOptions,
  VerifyHistoryResult,
} from "./immutable/immutable.js";
export type {
  ImmutableEntry,
  ImmutableMetadata,
  ImmutableRecord,
  ImmutableVersion,
} from "./immutable/versions.js";
export type { ImmutableChange, ImmutableWatchOptions } from "./immutable/watch.js";
export type { MutableFilters, MutableOrder, MutablePage } from "./mutable/filters.js";
export type { Mutable } from "./mutable/mutable.js";
export type {
  ChangeOptions,
  DeleteOptions,
  DeleteResult,
  EntryOptions,
  MutableListResult,
  NamespaceSummary,
  PurgeKeyResult,
  PurgeOptions,
  PurgeProgress,
  PurgeResult,
  SetManyEntry,
  SetOptions,
} from "./mutable/options.js";
export type { UpdateOptions, Updater } from "./mutable/pending-update.js";
export type { MutableRecord } from "./mutable/records.js";
export type {
  Operation,
  Transaction,
  TransactionEntry,
  TransactionListOptions,
  TransactionOptions,
  TransactionOutcome,
  TransactionResult,
} from "./mutable/transactions/transaction.js";
export type { MutableChange, MutableWatchOptions } from "./mutable/watch.js";
export type { Scope, Surface } from "./scopes/scope.js";
export type {
  ScopeListOptions,
  ScopeListResult,
  ScopePurgeOptions,
  ScopePurgeResult,
} from "./scopes/scopes.js";
export type {
  AdapterRange,
  StoreAdapter,
  StreamEntries,
  StreamFields,
} from "./store/adapter.js";
export type {
  BatchEntry,
  ConsumerGroup,
  DeliveredMessage,
  KeepOptions,
  ScanOptions,
  ScanResult,
  StreamAppendOptions,
  StreamMessage,
  StreamReadRange,
} from "./store/backend.js";
export { CortexStore, type StoreBuilder } from "./store/builder.js";
export { CortexStoreEvents, type StoreEvents } from "./store/event-schemas.js";
export type {
  EventContext,
  EventPublishOptions,
  EventSchema,
  EventSchemas,
  Unsubscribe,
} from "./store/event-types.js";
export type { EventValidation } from "./store/events.js";
export type { Store } from "./store/store.js";
export type { StoreAttributes, StoreLogger, StoreTelemetry } from "./store/telemetry.js";
export type { ConsumeHandler, ConsumeOptions } from "./streams/consume.js";
export type {
  AppendEntryOptions,
  DeliveredEntry,
  DeliveryRef,
  EntryToAppend,
  StreamEntry,
  StreamEntryOptions,
  TrimOnAppend,
} from "./streams/entry.js";
export type {
  DeadLetterOptions,
  EnsureGroupOptions,
  GroupReadOptions,
  NackOptions,
  PastDelivery,
  PendingEntry,
  PendingOptions,
  PendingResult,
  StreamGroup,
  TakeOverOptions,
} from "./streams/group.js";
export type { GroupRecord, StreamRecord } from "./streams/records.js";
export type {
  AppendOptions,
  StreamListOptions,
  StreamRangeOptions,
  StreamRangeResult,
  Streams,
  StreamTrimOptions,
} from "./streams/streams.js";
export type {
  DeleteUserOptions,
  DeleteUserResult,
  User,
  UserFilters,
  UserListResult,
  Users,
} from "./users/users.js";

export interface CortexOptions {
  /**
   * HOST:PORT of the server, `[IPV6]:PORT` or `unix:PATH`, without a scheme. Default: `CORTEX_ADDRESS`, or
   * 127.0.0.1:50051.
   */
  address?: string | undefined;
  /**
   * The tenant of all calls: printable ASCII up to 256 bytes, no comma, no space at its ends. Default:
   * `CORTEX_TENANT`, or the tenant "".
   */
  tenantId?: string | undefined;
  /**
   * The key or token of the caller, or a function that returns the current one before each call. It is sent
   * as `authorization: Bearer …`. Default: `CORTEX_TOKEN`, or none.
   */
  token?: Token | undefined;
  /** True, or the certificates, for a connection with TLS. Default: false. */
  tls?: boolean | TlsOptions | undefined;
  /**
   * The id of this agent: entries and versions record who wrote them. Printable ASCII up to 256 bytes.
   * Default: none.
   */
  agentId?: string | undefined;
  /**
   * Milliseconds until a call fails with DEADLINE_EXCEEDED, if the call has no `timeoutMs`. Default: 5000.
   */
  timeoutMs?: number | undefined;
  /**
   * How a number is read that does not fit in a JavaScript number, because it has too many digits. An integer
   * always becomes a bigint. Another one becomes the nearest number, or with `exactNumbers: true` an
   * `ExactNumber`, which has its text. Either way it is never written back rounded: a number that is still at
   * the place where it was read is written with the text that it had. Default: false.
   */
  exactNumbers?: boolean | undefined;
  /**
   * Traces every call: `openTelemetry()` of `cortex-store/opentelemetry`. Default: none.
   */
  telemetry?: ClientTelemetry | undefined;
}

/**
 * A connection to a server. It connects with the first call. Close it, or declare it with `await using`.
 *
 * ```ts
 * await using cortex = new Cortex({ address: "127.0.0.1:50051", tenantId: "acme" });
 * await cortex.mutable.update("inventory", "widget-qty", (n) => n - 1);
 * ```
 */
export class Cortex extends Surface implements AsyncDisposable {
  /** The users that data can belong to. */
  readonly users: Users;
  readonly #transport: Transport;
  readonly #holder: Holder;

  /** @throws CortexError INVALID_CONFIG if an option is not valid. */
  constructor(options: CortexOptions = {}) {
    const { transport, agentId } = transportOf(options);
    const holder = new Holder(agentId);
    super(transport, holder);
    this.#transport = transport;
    this.#holder = holder;
    this.users = new Users(transport);
  }

  /**
   * Closes the connection once the calls in flight are done; later calls fail with CANCELLED. Watches, streams of
   * events, subscriptions and `consume` end. What `claims.with` holds is released; other claims last until their time
   * is over.
   */
  async close(): Promise<void> {
    await this.#holder.close();
    this.#transport.connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function transportOf(options: CortexOptions): {
  transport: Transport;
  agentId: string | undefined;
} {
  const known = [
    ...["address", "tenantId", "token", "tls", "agentId", "timeoutMs", "exactNumbers"],
    "telemetry",
  ];
  if (typeof options === "object" && options !== null && "immutableRetention" in options)
    throw invalid("immutableRetention", "is the server's: start it with --retention");
  rejectUnknown(options, known, "INVALID_CONFIG", "new Cortex");
  const { env } = process;
  const address = header("address", options.address ?? env.CORTEX_ADDRESS) || "127.0.0.1:50051";
  if (!isAddress(address))
    throw invalid("address", `is not HOST:PORT, [IPV6]:PORT or unix:PATH: ${address}`);
  const tenant = header("tenantId", options.tenantId ?? env.CORTEX_TENANT);
  const given = options.token ?? env.CORTEX_TOKEN;
  if (typeof given === "string" && /^bearer\b/i.test(given))
    throw invalid("token", "begins with Bearer: give the key or token alone");
  const token = typeof given === "function" ? given : header("token", given) || undefined;
  const tls = tlsOf(options.tls);
  const agentId = header("agentId", options.agentId) || undefined;
  const headers = { "x-tenant-id": tenant || undefined, "x-agent-id": agentId };
  const timeoutMs = checkTimeout(options.timeoutMs ?? 5000);
  const exactNumbers = options.exactNumbers ?? false;
  if (typeof exactNumbers !== "boolean") throw invalid("exactNumbers", "is not true or false");
  const json = new Json(exactNumbers);
  const { telemetry } = options;
  if (telemetry !== undefined && typeof telemetry?.interceptor !== "function")
    throw invalid("telemetry", "is not what openTelemetry() gives");
  const security = { tls, token, interceptors: telemetry && [telemetry.interceptor] };
  return { transport: new Transport(address, headers, timeoutMs, json, security), agentId };
}

function tlsOf(tls: boolean | TlsOptions | undefined): boolean | TlsOptions | undefined {
  if (tls === undefined || typeof tls === "boolean") return tls;
  rejectUnknown(tls, ["ca", "cert", "key", "serverName"], "INVALID_CONFIG", "tls");
  for (const field of ["ca", "cert", "key"] as const)
    if (tls[field] !== undefined && typeof tls[field] !== "string" && !Buffer.isBuffer(tls[field]))
      throw invalid(`tls.${field}`, "is neither PEM text nor a Buffer of it");
  for (const field of ["ca", "cert", "key"] as const)
    if (tls[field] !== undefined && !tls[field].includes("-----BEGIN"))
      throw invalid(`tls.${field}`, "is not PEM: give the content of the file, not its path");
  if ((tls.cert === undefined) !== (tls.key === undefined))
    throw invalid("tls.cert", "and tls.key go together");
  header("tls.serverName", tls.serverName);
  return tls;
}

const invalid = (field: string, problem: string) => refused("INVALID_CONFIG", field, problem);
