// The reasons of failures: one table from reason to gRPC status and sentence. The reasons are declared in
// proto/cortex/error/v1/error.proto; one that is missing here does not compile.
import { getOption } from "@bufbuild/protobuf";
import { status as Code } from "@grpc/grpc-js";
import { type ErrorReason, ErrorReasonSchema } from "../../gen/cortex/error/v1/error_pb.js";
import {
  type ReasonTraits,
  reason as reasonOption,
} from "../../gen/cortex/options/v1/options_pb.js";

type ClientReason =
  | "UNAVAILABLE"
  | "INVALID_UPDATER"
  | "UPDATE_FAILED"
  | "INVALID_CONFIG"
  | "TRANSITION_NOT_ALLOWED"
  | "CREDENTIAL_REFUSED"
  | "UNKNOWN";
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED" | ClientReason>;

/** Text about the failure: field, limit, what was got. Never a value or the metadata of a user's entry. */
export type Details = Record<string, string>;

const badField = (d: Details) =>
  `${d.field} ${d.problem ?? "is not valid"}${d.limit ? ` (limit ${d.limit}` : ""}${
    d.got ? `${d.limit ? ", " : " ("}got ${d.got})` : d.limit ? ")" : ""
  }`;
/** What of a transaction failed. */
const partOf = ({ operation_index, precondition_index }: Details): string => {
  if (operation_index !== undefined) return `operation ${operation_index} of the transaction`;
  if (precondition_index !== undefined)
    return `precondition ${precondition_index} of the transaction`;
  return "the claim of the transaction";
};
const keyOf = (d: Details) => `${quote(d.namespace)} / ${quote(d.key)}`;

/**
 * Quotes text for a sentence. The sentence travels percent-encoded in a header, so long text is shortened in
 * it.
 */
export const quote = (text = "") =>
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
    (d) => `nothing is stored under ${keyOf(d)}${d.hint ? `; ${d.hint}` : ""}`,
  ],
  KEY_EXISTS: [Code.ALREADY_EXISTS, (d) => `${keyOf(d)} exists already`],
  REVISION_MISMATCH: [
    Code.FAILED_PRECONDITION,
    (d) =>
      d.current_revision === "0"
        ? `${keyOf(d)} does not exist, revision ${d.expected_revision} was asked for`
        : `${keyOf(d)} is at revision ${d.current_revision}, not ${d.expected_revision}`,
  ],
  VALUE_NOT_NUMERIC: [
    Code.FAILED_PRECONDITION,
    (d) => `the value of ${keyOf(d)} is not a number but ${d.got}`,
  ],
  VALUE_NOT_ARRAY: [
    Code.FAILED_PRECONDITION,
    (d) => `the value of ${keyOf(d)} is not an array but ${d.got}`,
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
  CONFLICT: [
    Code.ABORTED,
    (d) =>
      d.problem
        ? `nothing was done: ${d.problem}. Repeat it`
        : "the database resolved a conflict against this call: repeat it",
  ],
  DEADLINE_EXCEEDED: [Code.DEADLINE_EXCEEDED, () => "the call ran out of time"],
  CANCELLED: [Code.CANCELLED, () => "the caller gave up"],
  TRANSACTION_FAILED: [
    Code.FAILED_PRECONDITION,
    (d) => `${partOf(d)} failed (${d.reason}), so nothing of it was done: ${d.problem}`,
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
    () => "other versions match than those of the confirmation token; nothing was deleted",
  ],
  UNAUTHENTICATED: [Code.UNAUTHENTICATED, (d) => `the call has no valid credentials: ${d.problem}`],
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
      `data belongs to the user ${quote(d.user_id)} (${d.mutable} entries, ${d.immutable_version} versions, ${d.claim} claims, ${d.stream_entry} entries of streams): cascade deletes it too`,
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
  SEARCH_TOO_BROAD: [
    Code.RESOURCE_EXHAUSTED,
    (d) =>
      `the search takes too long (limit ${d.limit} seconds): narrow its filter, or give fewer or rarer words`,
  ],
  INVALID_CURSOR: [Code.INVALID_ARGUMENT, badField],
  CURSOR_EXPIRED: [
    Code.OUT_OF_RANGE,
    (d) => `the cursor has expired: ${d.problem}; start again with the current state`,
  ],
  WATCH_DISABLED: [
    Code.FAILED_PRECONDITION,
    () =>
      "the server keeps no changes (--watch-retention 0), so nothing can be watched or published",
  ],
  INVALID_CLAIM: [Code.INVALID_ARGUMENT, badField],
  CLAIM_NOT_HELD: [
    Code.FAILED_PRECONDITION,
    (d) => `the claim ${quote(d.claim)} is not held with the fence ${d.fence}`,
  ],
  FENCE_STALE: [
    Code.FAILED_PRECONDITION,
    (d) =>
      `the claim ${quote(d.claim)} is not held with the fence ${d.fence} any more, so nothing was written`,
  ],
  INVALID_CHANNEL: [Code.INVALID_ARGUMENT, badField],
  INVALID_STREAM: [Code.INVALID_ARGUMENT, badField],
  INVALID_ENTRY_ID: [Code.INVALID_ARGUMENT, badField],
  ENTRY_ID_TOO_LOW: [
    Code.FAILED_PRECONDITION,
    (d) => `the id is not above ${d.last_id}, the last one of the stream ${quote(d.stream)}`,
  ],
  GROUP_NOT_FOUND: [
    Code.NOT_FOUND,
    (d) =>
      `the stream ${quote(d.stream)} has no group ${quote(d.group)}: create it with EnsureGroup`,
  ],
  INVALID_SCOPE: [Code.INVALID_ARGUMENT, badField],
  EVENTS_MISSED: [
    Code.RESOURCE_EXHAUSTED,
    (d) =>
      `the subscription has missed ${d.missed ?? "an unknown number of"} events${d.missed ? ", because the caller read too slowly" : ""}: subscribe again`,
  ],
  KEYS_UNAVAILABLE: [
    Code.UNAVAILABLE,
    () => "the keys that verify tokens cannot be fetched at the moment",
  ],
  DATABASE_ERROR: [Code.INTERNAL, (d) => `an unexpected failure; the log has it as ${d.error_id}`],
};

/** A text as the caller may see it: a name without the path of its scope (validation/scope.ts). */
const shown = (text: string): string =>
  (text.startsWith("\u0001") ? text.slice(text.indexOf("\u0001", 1) + 1) : text).toWellFormed();

/** A failure with a reason that the caller can act on. Handlers throw nothing else on purpose. */
export class CortexError extends Error {
  override readonly name = "CortexError";
  readonly details: Details;
  constructor(
    readonly reason: Reason,
    details: Details = {},
    options?: ErrorOptions,
  ) {
    // Neither a header nor a protobuf string can carry half of a surrogate pair.
    const wellFormed = Object.entries(details).map(([name, text]) => [name, shown(text)]);
    super(table[reason][1](Object.fromEntries(wellFormed)).toWellFormed(), options);
    this.details = Object.fromEntries(wellFormed);
  }
}

export const codeOfReason = (reason: Reason): Code => table[reason][0];

const traits = new Map<string, ReasonTraits>(
  ErrorReasonSchema.values.map((value) => [value.localName, getOption(value, reasonOption)]),
);

/** The traits that the proto declares for the reason. */
export const traitsOf = (reason: Reason): ReasonTraits => traits.get(reason) as ReasonTraits;
