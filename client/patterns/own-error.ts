// The errors that the patterns themselves throw within an update or a transaction.
import { CortexError, type ErrorCode } from "../core/error.js";

/**
 * An update or a transaction wraps an error that its function threw. Gives the wrapped error if it has one of these
 * codes, else the error itself.
 */
export function ownError(error: unknown, ...codes: readonly ErrorCode[]): unknown {
  const cause = error instanceof CortexError ? error.cause : undefined;
  return cause instanceof CortexError && codes.includes(cause.code) ? cause : error;
}
