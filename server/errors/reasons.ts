// One table from reason to gRPC status and sentence; one converter from whatever was thrown to what the caller sees.
// A reason that is missing here does not compile. A Postgres error is known by its SQLSTATE, never by its text.
import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { status as Code, Metadata } from "@grpc/grpc-js";
import type { ErrorReason } from "../../gen/cortex/error/v1/error_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";

type ClientReason =
  | "UNAVAILABLE"
  | "INVALID_UPDATER"
  | "UPDATE_FAILED"
  | "INVALID_CONFIG"
  | "UNKNOWN";
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED" | ClientReason>;

/** What the offending thing was: field, limit, what was got. Never a value or metadata of a user's entry. */
export type Details = Record<string, string>;

const badField = (d: Details) =>
  `${d.field} ${d.problem ?? "is not valid"}${d.limit ? ` (limit ${d.limit}` : ""}${
    d.got ? `${d.limit ? ", " : " ("}got ${d.got})` : d.limit ? ")" : ""
  }`;
const at = (d: Details) => `${quote(d.namespace)} / ${quote(d.key)}`;
// Short in the sentence, which travels percent-encoded in a header; whole in the metadata.
const quote = (text = "") =>
  JSON.stringify(text.length > 100 ? `${text.slice(0, 100).toWellFormed()}…` : text);

const table: Record<Reason, [code: Code, sentence: (details: Details) => string]> = {
  MALFORMED_REQUEST: [Code.INVALID_ARGUMENT, (d) => `the request cannot be decoded: ${d.problem}`],
  INVALID_NAMESPACE: [Code.INVALID_ARGUMENT, badField],
  INVALID_KEY: [Code.INVALID_ARGUMENT, badField],
  INVALID_VALUE: [Code.INVALID_ARGUMENT, badField],
  VALUE_TOO_LARGE: [
    Code.INVALID_ARGUMENT,
    (d) => `${d.field} is too large (limit ${d.limit} bytes of UTF-8, got ${d.got})`,
  ],
  VALUE_TOO_DEEP: [
    Code.INVALID_ARGUMENT,
    (d) => `${d.field} nests too deep (limit ${d.limit} arrays and objects, got ${d.got})`,
  ],
  INVALID_METADATA: [Code.INVALID_ARGUMENT, badField],
  INVALID_USER_ID: [Code.INVALID_ARGUMENT, badField],
  INVALID_TENANT: [Code.INVALID_ARGUMENT, badField],
  INVALID_TTL: [Code.INVALID_ARGUMENT, badField],
  INVALID_AMOUNT: [Code.INVALID_ARGUMENT, badField],
  INVALID_REVISION: [Code.INVALID_ARGUMENT, badField],
  INVALID_OPTIONS: [Code.INVALID_ARGUMENT, badField],
  INVALID_FILTER: [Code.INVALID_ARGUMENT, badField],
  INVALID_LIMIT: [Code.INVALID_ARGUMENT, badField],
  INVALID_OFFSET: [Code.INVALID_ARGUMENT, badField],
  INVALID_SORT: [Code.INVALID_ARGUMENT, badField],
  INVALID_PAGE_TOKEN: [Code.INVALID_ARGUMENT, badField],
  INVALID_BATCH: [Code.INVALID_ARGUMENT, badField],
  INVALID_OPERATION: [Code.INVALID_ARGUMENT, badField],
  KEY_NOT_FOUND: [
    Code.NOT_FOUND,
    (d) => `nothing is stored under ${at(d)}${d.hint ? `; ${d.hint}` : ""}`,
  ],
  KEY_EXISTS: [Code.ALREADY_EXISTS, (d) => `${at(d)} exists already`],
  REVISION_MISMATCH: [
    Code.FAILED_PRECONDITION,
    (d) =>
      d.current_revision === "0"
        ? `${at(d)} does not exist, revision ${d.expected_revision} was asked for`
        : `${at(d)} is at revision ${d.current_revision}, not ${d.expected_revision}`,
  ],
  VALUE_NOT_NUMERIC: [
    Code.FAILED_PRECONDITION,
    (d) => `the value of ${at(d)} is not a number but ${d.got}`,
  ],
  VALUE_NOT_ARRAY: [
    Code.FAILED_PRECONDITION,
    (d) => `the value of ${at(d)} is not an array but ${d.got}`,
  ],
  NUMBER_OUT_OF_RANGE: [
    Code.OUT_OF_RANGE,
    () => "the exact result has more digits than can be stored",
  ],
  USER_NOT_FOUND: [Code.NOT_FOUND, (d) => `there is no user ${quote(d.user_id)}`],
  USER_EXISTS: [Code.ALREADY_EXISTS, (d) => `the user ${quote(d.user_id)} exists already`],
  PURGE_ALL_DISABLED: [
    Code.FAILED_PRECONDITION,
    () => "PurgeAll works only on a server started with --allow-purge-all",
  ],
  MESSAGE_TOO_LARGE: [
    Code.RESOURCE_EXHAUSTED,
    (d) => `the request message is too large (limit ${d.limit} bytes)`,
  ],
  REPLY_TOO_LARGE: [
    Code.RESOURCE_EXHAUSTED,
    (d) =>
      `the reply would be too large (limit ${d.limit} bytes, got ${d.got}): ask for fewer keys`,
  ],
  DATABASE_FULL: [
    Code.RESOURCE_EXHAUSTED,
    () => "the database has no space left, or cannot write its files",
  ],
  SHUTTING_DOWN: [Code.UNAVAILABLE, () => "the server stopped before the call was done"],
  DATABASE_UNAVAILABLE: [Code.UNAVAILABLE, () => "the database does not answer"],
  CONFLICT: [Code.ABORTED, () => "the database resolved a conflict against this call: repeat it"],
  DEADLINE_EXCEEDED: [Code.DEADLINE_EXCEEDED, () => "the call ran out of time"],
  CANCELLED: [Code.CANCELLED, () => "the caller gave up"],
  TRANSACTION_FAILED: [
    Code.FAILED_PRECONDITION,
    (d) =>
      `${d.operation_index === undefined ? `precondition ${d.precondition_index}` : `operation ${d.operation_index}`} of the transaction failed (${d.reason}), so nothing of it was done: ${d.problem}`,
  ],
  TRANSACTION_TIMEOUT: [
    Code.DEADLINE_EXCEEDED,
    (d) => `the transaction ${d.problem} (limit ${d.limit} seconds); it was rolled back`,
  ],
  REQUEST_ID_REUSED: [
    Code.ALREADY_EXISTS,
    (d) => `the request id ${quote(d.request_id)} was used for another request`,
  ],
  INVALID_REQUEST_ID: [Code.INVALID_ARGUMENT, badField],
  INVALID_OPERATIONS: [Code.INVALID_ARGUMENT, badField],
  INVALID_TRANSACTION: [
    Code.FAILED_PRECONDITION,
    (d) => `the transaction was rolled back: ${d.problem}`,
  ],
  INVALID_TYPE: [Code.INVALID_ARGUMENT, badField],
  INVALID_ID: [Code.INVALID_ARGUMENT, badField],
  INVALID_VERSION: [Code.INVALID_ARGUMENT, badField],
  INVALID_DATA: [Code.INVALID_ARGUMENT, badField],
  DATA_TOO_LARGE: [
    Code.INVALID_ARGUMENT,
    (d) => `${d.field} is too large (limit ${d.limit} bytes of UTF-8, got ${d.got})`,
  ],
  INVALID_TIME: [Code.INVALID_ARGUMENT, badField],
  INVALID_QUERY: [Code.INVALID_ARGUMENT, badField],
  INVALID_AGENT_ID: [Code.INVALID_ARGUMENT, badField],
  VERSION_MISMATCH: [
    Code.FAILED_PRECONDITION,
    (d) =>
      d.current_version === "0"
        ? `${quote(d.type)} / ${quote(d.id)} does not exist, version ${d.expected_version} was asked for`
        : `${quote(d.type)} / ${quote(d.id)} is at version ${d.current_version}, not ${d.expected_version}`,
  ],
  CONFIRMATION_STALE: [
    Code.FAILED_PRECONDITION,
    () => "what matches is not what the confirmation token was given for; nothing was deleted",
  ],
  UNAUTHENTICATED: [
    Code.UNAUTHENTICATED,
    (d) => `the call has no credentials that count: ${d.problem}`,
  ],
  PERMISSION_DENIED: [
    Code.PERMISSION_DENIED,
    (d) => `the credentials do not allow this: ${d.problem}`,
  ],
  REPLY_ERASED: [
    Code.FAILED_PRECONDITION,
    () =>
      "the request was done before, and its reply has been erased together with a user; nothing was done again",
  ],
  USER_HAS_DATA: [
    Code.FAILED_PRECONDITION,
    (d) =>
      `data belongs to the user ${quote(d.user_id)} (${d.mutable} entries, ${d.immutable_version} versions): cascade deletes it too`,
  ],
  QUOTA_EXCEEDED: [
    Code.RESOURCE_EXHAUSTED,
    (d) =>
      `the tenant has as many ${d.quota} as it may (limit ${d.limit}, got ${d.got}): delete some first`,
  ],
  RATE_LIMITED: [
    Code.RESOURCE_EXHAUSTED,
    (d) =>
      `the tenant makes more calls than it may (limit ${d.limit} a second): repeat in ${d.retry_after_ms} ms`,
  ],
  OVERLOADED: [
    Code.RESOURCE_EXHAUSTED,
    (d) =>
      `${d.problem ?? "too many calls wait already"} (limit ${d.limit}): repeat in ${d.retry_after_ms} ms`,
  ],
  SLOW_READER: [
    Code.RESOURCE_EXHAUSTED,
    (d) => `the caller did not read for too long (limit ${d.limit} seconds)`,
  ],
  KEYS_UNAVAILABLE: [
    Code.UNAVAILABLE,
    () => "the keys that tokens are verified with cannot be had at the moment",
  ],
  DATABASE_ERROR: [Code.INTERNAL, (d) => `an unexpected failure; the log has it as ${d.error_id}`],
};

/** A failure with a reason the caller can act on. Everything a handler refuses is one of these. */
export class CortexError extends Error {
  override readonly name = "CortexError";
  readonly details: Details;
  constructor(
    readonly reason: Reason,
    details: Details = {},
    options?: ErrorOptions,
  ) {
    // Neither a header nor a protobuf string can carry half of a surrogate pair.
    const whole = Object.entries(details).map(([name, value]) => [name, value.toWellFormed()]);
    super(table[reason][1](Object.fromEntries(whole)).toWellFormed(), options);
    this.details = Object.fromEntries(whole);
  }
}

/** The status and trailers of a failed call. */
export function toStatus(error: CortexError): { code: Code; details: string; metadata: Metadata } {
  const code = table[error.reason][0];
  const info = create(ErrorInfoSchema, {
    reason: error.reason,
    domain: "cortex.store",
    metadata: error.details,
  });
  const status = create(StatusSchema, {
    code,
    message: error.message,
    details: [anyPack(ErrorInfoSchema, info), ...retryInfo(error.details)],
  });
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  return { code, details: error.message, metadata };
}

/** Where it says when to come again, the same for those who know only the standard. */
function retryInfo({ retry_after_ms: ms }: Details): Any[] {
  if (ms === undefined) return [];
  const info = create(RetryInfoSchema, { retryDelay: durationFromMs(Number(ms)) });
  return [anyPack(RetryInfoSchema, info)];
}

/** The code of an error of Postgres (SQLSTATE), of its driver, or of the socket; undefined for any other error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

// The connection could not be made, so the statement was never sent.
const notSent = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EACCES",
  "CONNECT_TIMEOUT",
  "CONNECTION_ENDED",
  "57P03", // cannot_connect_now: starting up or shutting down
  "53300", // too_many_connections
  "28000", // the login was refused
  "28P01",
  "3D000", // the database does not exist (any more)
]);
// The connection was lost; what was running on it may have been committed.
const lost = new Set([
  "ETIMEDOUT",
  "ECONNRESET",
  "EPIPE",
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P05", // idle_session_timeout
]);

/** Whatever was thrown, as a reason; undefined for a failure nobody foresaw. */
export function fromDatabase(error: unknown): CortexError | undefined {
  const code = codeOf(error);
  if (code === undefined) return undefined;
  const as = (reason: Reason, details: Details = {}) =>
    new CortexError(reason, details, { cause: error });
  if (notSent.has(code)) return as("DATABASE_UNAVAILABLE", { applied: "no" });
  if (lost.has(code) || code.startsWith("08"))
    return as("DATABASE_UNAVAILABLE", { applied: "unknown" });
  if (code === "40001" || code === "40P01" || code === "55P03") return as("CONFLICT");
  if (code === "53100" || code === "58030") return as("DATABASE_FULL"); // disk full, I/O error
  if (code === "25006") return as("DATABASE_UNAVAILABLE", { applied: "no" }); // read-only: a replica
  if (code === "57014") return as("DEADLINE_EXCEEDED"); // statement_timeout
  if (code === "22003") return as("NUMBER_OUT_OF_RANGE");
  return undefined;
}

/** A failure nobody foresaw, under an id that the log shows too; nothing of it reaches the caller. */
export function unforeseen(error: unknown): CortexError {
  return new CortexError("DATABASE_ERROR", { error_id: randomUUID() }, { cause: error });
}
