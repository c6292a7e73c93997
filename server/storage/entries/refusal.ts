// The error for an operation that the statement refused.
import { CortexError, type Details, type Reason } from "../../errors/reasons.js";
import { quotaExceeded } from "../../runtime/quotas.js";
import { fenceStale, transactionStale } from "../claims/guard.js";
import type { AtomicWrite } from "./atomic-write.js";
import type { Operation } from "./operation.js";

/** Why the statement refused an operation, and what it found. */
export interface Refusal {
  /** Which operation of the write. */
  index: number;
  reason: string;
  revision: string;
  type: string | null;
  bytes: number | null;
}

const entryReasons = {
  REVISION_MISMATCH: ({ ifRevision = "" }, { revision }) => ({
    expected_revision: ifRevision,
    current_revision: revision,
  }),
  KEY_EXISTS: (_, { revision }) => ({ current_revision: revision }),
  KEY_NOT_FOUND: ({ kind }) =>
    kind === "delete" || kind === "check"
      ? {}
      : { hint: "createIfMissing (create_if_missing) creates it" },
  VALUE_NOT_NUMERIC: (_, { type }) => ({ got: type ?? "" }),
  VALUE_NOT_ARRAY: (_, { type }) => ({ got: type ?? "" }),
} satisfies Partial<Record<Reason, (operation: Operation, refusal: Refusal) => Details>>;

/** The error that the caller gets: for a transaction TRANSACTION_FAILED, unless a quota is full. */
export function errorOf(write: AtomicWrite, refusal: Refusal): CortexError {
  const { room, preconditions } = write;
  if (room && refusal.reason === "QUOTA_KEYS") return quotaExceeded("keys", room);
  if (room && refusal.reason === "QUOTA_BYTES") return quotaExceeded("bytes", room);
  if (write.guard && refusal.reason === "FENCE_STALE")
    return preconditions === undefined ? fenceStale(write.guard) : transactionStale(write.guard);
  const error = operationError(write, refusal);
  return preconditions === undefined
    ? error
    : transactionFailed(error, refusal.index, { preconditions });
}

function operationError({ operations, valueBytesMax }: AtomicWrite, refusal: Refusal): CortexError {
  const operation = operations[refusal.index] as Operation;
  const { namespace, key } = operation;
  const got = `${refusal.bytes}`;
  switch (refusal.reason) {
    case "VALUE_TOO_LARGE":
      return new CortexError("VALUE_TOO_LARGE", {
        field: "result",
        limit: `${valueBytesMax}`,
        got,
      });
    case "REPLY_TOO_LARGE":
      return new CortexError("REPLY_TOO_LARGE", { limit: got, got: `more than ${got}` });
    case "NUMBER_OUT_OF_RANGE":
      return new CortexError("NUMBER_OUT_OF_RANGE");
    case "USER_NOT_FOUND":
      return new CortexError("USER_NOT_FOUND", { user_id: operation.userId ?? "" });
    default: {
      const reason = refusal.reason as keyof typeof entryReasons;
      return new CortexError(reason, {
        namespace,
        key,
        ...entryReasons[reason](operation, refusal),
      });
    }
  }
}

/**
 * The error of a transaction of which one operation was refused. The first `preconditions` operations are
 * preconditions.
 */
export function transactionFailed(
  { reason, message, details }: CortexError,
  index: number,
  {
    preconditions,
    /** How many operations the transaction has written before. */
    before = 0,
  }: { preconditions: number; before?: number },
): CortexError {
  return new CortexError("TRANSACTION_FAILED", {
    ...details,
    ...(index < preconditions
      ? { precondition_index: `${index}` }
      : { operation_index: `${before + index - preconditions}` }),
    reason,
    problem: message,
  });
}
