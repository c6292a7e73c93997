// The errors of patterns, without the update or the transaction in which they came up.
import { CortexError, type ErrorCode } from "../core/error.js";

/**
 * Runs an update or a transaction, which wrap an error that their function threw; a transaction also wraps that of an
 * operation which the server refused. Throws the wrapped error, if it has one of these codes (default: any code), else
 * the error itself. In both cases nothing was written.
 */
export async function unwrapErrors<T>(
  work: () => Promise<T>,
  ...codes: readonly ErrorCode[]
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const own = error instanceof CortexError ? wrapped(error) : undefined;
    throw own && (codes.length === 0 || codes.includes(own.code)) ? own : error;
  }
}

function wrapped(error: CortexError): CortexError | undefined {
  const { code, cause, message, details } = error;
  if (code === "UPDATE_FAILED") return cause instanceof CortexError ? cause : undefined;
  const { reason } = details;
  // After a conflict the same transaction may succeed.
  if (code !== "TRANSACTION_FAILED" || reason === undefined || reason === "CONFLICT")
    return undefined;
  if (cause instanceof CortexError && cause.code === reason) return cause;
  return new CortexError(reason as ErrorCode, message, details, { cause: error });
}
