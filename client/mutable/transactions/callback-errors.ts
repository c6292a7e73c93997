// The errors of a transaction's callback.
import { CortexError, messageOf } from "../../core/error.js";
import type { EntryKey } from "./locked.js";

/** The details that TRANSACTION_FAILED adds for the error of an operation. */
const failed = new WeakMap<CortexError, { reason: string; operationIndex: number }>();

/** Notes which operation failed with the error. */
export function noteIndex(error: unknown, operationIndex: number): void {
  if (error instanceof CortexError) failed.set(error, { reason: error.code, operationIndex });
}

/** The error of a transaction whose callback threw. */
export function callbackThrew(error: unknown): CortexError {
  const { code, details } = error instanceof CortexError ? error : {};
  const own = error instanceof CortexError ? failed.get(error) : undefined;
  return new CortexError(
    "TRANSACTION_FAILED",
    `the callback threw, nothing was written: ${messageOf(error)}`,
    { ...(code && { reason: code }), ...(own && { ...details, ...own }) },
    { cause: error },
  );
}

export const keyNotFound = ({ namespace, key }: EntryKey, hint = ""): CortexError =>
  new CortexError(
    "KEY_NOT_FOUND",
    `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}${hint}`,
    { namespace, key },
  );
