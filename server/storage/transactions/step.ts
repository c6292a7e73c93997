// The steps of a transaction, parsed from messages: operations on entries, versions to be stored, and events.
import type { Operation as OperationMessage } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import * as check from "../../validation/fields.js";
import { entryName, parseKey } from "../entries/entry.js";
import { type ChangeMessage, type Operation, parseChange, parseSet } from "../entries/operation.js";
import { eventIdentity, type NewEvent, parseEvent } from "../events/event.js";
import { identityOf, type NewVersion, parseStore } from "../versions/new-version.js";

export type TransactionStep = Operation | NewVersion | NewEvent;

/** True if it is an operation on an entry. */
export const isOnEntry = (step: TransactionStep): step is Operation =>
  step.kind !== "store" && step.kind !== "publish";

/** The names in KeyLocks that steps lock. */
export const stepNames = (steps: TransactionStep[]): string[] =>
  steps.flatMap((step) => {
    if (step.kind === "publish") return [];
    return step.kind === "store" ? (step.keys[0] as string) : entryName(step);
  });

/** The parts of a step that the fingerprint of a request covers. */
export function stepIdentity(step: TransactionStep) {
  if (step.kind === "store") return identityOf(step);
  return step.kind === "publish" ? eventIdentity(step) : step;
}

interface Progress {
  /** How many of the 500 operations that a transaction may have are used up. */
  used: number;
  /** How many operations came before. */
  before?: number;
  /** The request id of the transaction. */
  requestId?: string | undefined;
}

export function parseSteps(
  call: Call,
  messages: OperationMessage[],
  { used, before = 0, requestId }: Progress,
): TransactionStep[] {
  const got = used + messages.length;
  if (got > check.operationsMax)
    throw new CortexError("INVALID_OPERATIONS", {
      field: "operations",
      problem: "are too many",
      limit: `${check.operationsMax}`,
      got: `${got}`,
    });
  return messages.map((message, i) => {
    try {
      return parseStep(call, message, requestId, `operations[${i}].`);
    } catch (error) {
      if (!(error instanceof CortexError)) throw error;
      throw new CortexError(error.reason, { ...error.details, operation_index: `${before + i}` });
    }
  });
}

function parseStep(
  call: Call,
  message: OperationMessage,
  requestId: string | undefined,
  prefix: string,
): TransactionStep {
  const { tenant } = call.caller;
  const { config } = call.server;
  const { operation, createIfMissing } = message;
  const refuse = (field: string, problem: string) =>
    new CortexError("INVALID_OPERATIONS", { field: prefix + field, problem });
  switch (operation.case) {
    case "set":
    case "delete":
    case "store":
    case "publish":
      if (createIfMissing)
        throw refuse("create_if_missing", `means nothing for a ${operation.case}`);
      if (operation.case === "store" || operation.case === "publish") {
        if (message.namespace !== "" || message.key !== "")
          throw refuse("namespace", `and key mean nothing for a ${operation.case}`);
        return operation.case === "store"
          ? parseStore(call, operation.value, { requestId, prefix: `${prefix}store.` })
          : parseEvent(call.caller, operation.value, `${prefix}publish.`);
      }
      return operation.case === "delete"
        ? { ...parseKey(tenant, message, prefix), kind: "delete", expects: "present" }
        : parseSet(parseKey(tenant, message, prefix), operation.value, config, `${prefix}set.`);
    case undefined:
      parseKey(tenant, message, prefix);
      throw refuse("operation", "is missing");
    default: {
      const entry = parseKey(tenant, message, prefix);
      return parseChange(entry, operation as ChangeMessage, createIfMissing, config, prefix);
    }
  }
}
