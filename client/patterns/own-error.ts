// The errors that the patterns themselves throw within an update or a transaction.
import { CortexError, type ErrorCode } from "../core/error.js";

/**
 * The error that a pattern threw within an update or a transaction, which wraps it, if it has one of these codes. Else
 * the error as it is.
 */
export function ownError(error: unknown, ...codes: readonly ErrorCode[]): unknown {
  const cause = error instanceof CortexError ? error.cause : undefined;
  return cause instanceof CortexError && codes.includes(cause.code) ? cause : error;
}
