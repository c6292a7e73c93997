// Errors of Postgres, its driver and the socket, as reasons. A Postgres error is known by its SQLSTATE, never
// by its text.
import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { CortexError, type Details, type Reason } from "./reasons.js";

/**
 * The code of an error of Postgres (its SQLSTATE), of the driver or of the socket; undefined for other
 * errors.
 */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

// No connection could be made, so the statement was not sent.
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
// The connection was lost. The statement that ran on it may have been committed.
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

/** True if the connection was lost while a statement ran on it. */
export const isConnectionLost = (error: unknown): boolean => {
  const code = codeOf(error);
  return code !== undefined && (lost.has(code) || code.startsWith("08"));
};

/** True if there was no connection, or it was lost. */
export const isDatabaseLost = (error: unknown): boolean =>
  notSent.has(codeOf(error) ?? "") || isConnectionLost(error);

/**
 * True if Postgres refused the statement for its content, so nothing of it was done. (Classes 08, 533, 57 and
 * 58 are about the state of Postgres itself.)
 */
export const isRefused = (error: unknown): boolean =>
  error instanceof postgres.PostgresError && !/^(08|533|57|58)/.test(error.code);

/** The reason for an error of the database; undefined for an error that is not expected. */
export function fromDatabase(error: unknown): CortexError | undefined {
  const code = codeOf(error);
  if (code === undefined) return undefined;
  const as = (reason: Reason, details: Details = {}) =>
    new CortexError(reason, details, { cause: error });
  if (notSent.has(code)) return as("DATABASE_UNAVAILABLE", { applied: "no" });
  if (isConnectionLost(error)) return as("DATABASE_UNAVAILABLE", { applied: "unknown" });
  if (code === "40001" || code === "40P01" || code === "55P03") return as("CONFLICT");
  if (code === "53200")
    return as("OVERLOADED", {
      applied: "no",
      problem: "Postgres has no room for more locks",
      limit: "max_locks_per_transaction",
      retry_after_ms: "1000",
    });
  if (code === "53100" || code === "58030") return as("DATABASE_FULL"); // disk full, I/O error
  if (code === "25006") return as("DATABASE_UNAVAILABLE", { applied: "no" }); // read-only: a replica
  if (code === "57014") return as("DEADLINE_EXCEEDED"); // statement_timeout
  if (code === "22003") return as("NUMBER_OUT_OF_RANGE");
  return undefined;
}

/**
 * The reason for an error that is not expected. The caller gets an id, under which the log has the error
 * itself.
 */
export function unexpected(error: unknown): CortexError {
  return new CortexError("DATABASE_ERROR", { error_id: randomUUID() }, { cause: error });
}

/**
 * The reason for whatever a handler threw. A lost connection is reported as such, even if the call was also
 * cancelled, because its statement may have been committed.
 */
export const reasonOf = (error: unknown): CortexError =>
  error instanceof CortexError ? error : (fromDatabase(error) ?? unexpected(error));
