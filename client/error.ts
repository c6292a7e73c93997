import type { ErrorReason } from "../gen/cortex/error/v1/error_pb.js";

/** Why a call failed: the names of `cortex.error.v1.ErrorReason`, each documented there. */
export type ErrorCode = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/**
 * What every call of the client throws.
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
  /** The offending field, the limit, what was got: the keys are documented with each reason. */
  readonly details: Readonly<Record<string, string>>;
  /** Whether the same call may succeed later, without anything being changed about it. It may have been applied: see `code`. */
  readonly retryable: boolean;

  constructor(
    code: ErrorCode,
    message: string = code,
    details: Record<string, string> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
    this.retryable = retryable.has(code);
  }
}

const retryable = new Set<ErrorCode>([
  "UNAVAILABLE",
  "DATABASE_UNAVAILABLE",
  "CONFLICT",
  "DEADLINE_EXCEEDED",
]);
