// The error that every call of the client throws, and its conversion from a gRPC status.
import { fromBinary, getOption } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status as Status } from "@grpc/grpc-js";
import { ErrorReason, ErrorReasonSchema } from "../../gen/cortex/error/v1/error_pb.js";
import {
  type ReasonTraits,
  reason as reasonOption,
} from "../../gen/cortex/options/v1/options_pb.js";
import { type ErrorInfo, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";

/** Why a call failed: the names of `cortex.error.v1.ErrorReason`, each documented there. */
export type ErrorCode = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/** The details of an error as text, by name. `cortex.error.v1.ErrorReason` documents the names. */
export interface ErrorDetails {
  readonly [name: string]: any;
  /** The index of the operation that failed, from 0 (of TRANSACTION_FAILED). */
  readonly operationIndex?: number;
}

/**
 * The error that every call of the client throws.
 *
 * ```ts
 * try { await cortex.mutable.increment("counters", "visits"); }
 * catch (error) { if (error instanceof CortexError && error.code === "KEY_NOT_FOUND") … }
 * ```
 */
export class CortexError extends Error {
  override readonly name = "CortexError";
  /** The reason, for a program: `KEY_NOT_FOUND`, `REVISION_MISMATCH`, … */
  readonly code: ErrorCode;
  /**
   * The details of the failure, such as the invalid field, the limit and the value received. Their names are
   * documented with each reason.
   */
  readonly details: ErrorDetails;
  /**
   * True if the same call, unchanged, may succeed later. The failed call may have been applied: see `code`.
   */
  readonly retryable: boolean;

  constructor(
    code: ErrorCode,
    message: string = code,
    details: ErrorDetails = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
    const { repeatable, timedOut } = traitsOf(code);
    const hasConflict = code === "TRANSACTION_FAILED" && details.reason === "CONFLICT";
    this.retryable = (repeatable || timedOut || hasConflict) && details.tls === undefined;
  }
}

/** The error for an argument that is refused. */
export const refused = (code: ErrorCode, field: string, problem: string): CortexError =>
  new CortexError(code, `${field} ${problem}`, { field, problem });

/**
 * Copies an error, so that its stack shows the caller's code. gRPC creates its errors in a callback, so their
 * stacks do not show it. Call this in an async function that the caller awaits. The copy is made only when a
 * call fails.
 */
export function withCallerStack(error: unknown): unknown {
  if (!(error instanceof CortexError)) return error;
  const { code, message, details } = error;
  return new CortexError(code, message, details, "cause" in error ? { cause: error.cause } : {});
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? thrown.message : String(thrown);
  } catch {
    return "an error without a message";
  }
}

const traits = new Map<string, ReasonTraits>(
  ErrorReasonSchema.values.map((value) => [value.localName, getOption(value, reasonOption)]),
);

/** The traits that the proto declares for the reason. */
export const traitsOf = (code: ErrorCode): ReasonTraits => traits.get(code) as ReasonTraits;

/** The error of a failed call, from the reason that the server gave; without a reason, from its status. */
export function fromGrpc(error: ServiceError): CortexError {
  const info = infoOf(error);
  if (info && info.reason in ErrorReason)
    return new CortexError(info.reason as ErrorCode, error.details, detailsOf(info));
  const details = { status: Status[error.code] ?? `${error.code}` };
  switch (error.code) {
    case Status.UNAVAILABLE:
    case Status.INTERNAL: // without a reason it is not from the server: the connection broke
      return new CortexError("UNAVAILABLE", error.details, details, { cause: error });
    case Status.DEADLINE_EXCEEDED:
      return new CortexError("DEADLINE_EXCEEDED", "the call ran out of time", details);
    case Status.CANCELLED:
      return new CortexError("CANCELLED", error.details, details);
    case Status.RESOURCE_EXHAUSTED: // the transport itself refuses a message far above the limit
      return new CortexError("MESSAGE_TOO_LARGE", error.details, details);
    default: {
      const message = `${details.status}: ${error.details}`;
      return new CortexError("UNKNOWN", message, details, { cause: error });
    }
  }
}

function detailsOf({ metadata }: ErrorInfo): ErrorDetails {
  const { operation_index: index } = metadata;
  return { ...metadata, ...(index !== undefined && { operationIndex: Number(index) }) };
}

/** The reason in the trailers; undefined if there is none, or if it cannot be read. */
function infoOf(error: ServiceError): ErrorInfo | undefined {
  try {
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    const [any] = Buffer.isBuffer(bytes) ? fromBinary(StatusSchema, bytes).details : [];
    return any && anyUnpack(any, ErrorInfoSchema);
  } catch {
    return undefined; // the trailer is not ours: a proxy set it, for example
  }
}
