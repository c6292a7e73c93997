// What a refusal of the database tells the caller.
import { CortexError, type Details, type Reason } from "../../errors/reasons.js";
import type { AtomicWrite, Operation, Refusal } from "./apply.js";

const kinds = {
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

export function refusalOf(
  { operations, valueBytesMax }: AtomicWrite,
  refusal: Refusal,
): CortexError {
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
      const reason = refusal.reason as keyof typeof kinds;
      return new CortexError(reason, { namespace, key, ...kinds[reason](operation, refusal) });
    }
  }
}
