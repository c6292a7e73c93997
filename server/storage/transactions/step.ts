// The steps of a transaction, parsed from messages: operations on entries, versions to be stored, events, and entries to
// be appended to streams.
import type { Operation as OperationMessage } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import * as check from "../../validation/fields.js";
import { entryName, parseKey } from "../entries/entry.js";
import { type ChangeMessage, type Operation, parseChange, parseSet } from "../entries/operation.js";
import { eventIdentity, type NewEvent, parseEvent } from "../events/event.js";
import { appendIdentity, type NewAppend, parseAppend } from "../streams/new-entries.js";
import { streamLockName } from "../streams/stream.js";
import { identityOf, type NewVersion, parseStore } from "../versions/new-version.js";

export type TransactionStep = Operation | NewVersion | NewEvent | NewAppend;

/** Makes the error of the transaction from that of the step with this index. */
export type Failed = (error: CortexError, index: number) => CortexError;

const notOnEntry = new Set<TransactionStep["kind"]>(["store", "publish", "append_entries"]);

/** True if it is an operation on a key of MutableStore. */
export const isOnEntry = (step: TransactionStep): step is Operation => !notOnEntry.has(step.kind);

/** The names in KeyLocks that steps lock; those of streams, which are locked by the commit, if asked to. */
export const stepNames = (steps: TransactionStep[], withStreams = false): string[] =>
  steps.flatMap((step) => {
    if (step.kind === "publish") return [];
    if (step.kind === "append_entries")
      return withStreams ? streamLockName(step.tenant, step.stream) : [];
    return step.kind === "store" ? (step.keys[0] as string) : entryName(step);
  });

/** The parts of a step that the fingerprint of a request covers. */
export function stepIdentity(step: TransactionStep) {
  switch (step.kind) {
    case "store":
      return identityOf(step);
    case "publish":
      return eventIdentity(step);
    case "append_entries":
      return appendIdentity(step);
    default:
      return step;
  }
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
    case "appendEntries": {
      const name = operation.case === "appendEntries" ? "append_entries" : operation.case;
      if (createIfMissing) throw refuse("create_if_missing", `means nothing for a ${name}`);
      if (operation.case === "delete")
        return { ...parseKey(tenant, message, prefix), kind: "delete", expects: "present" };
      if (operation.case === "set")
        return parseSet(
          parseKey(tenant, message, prefix),
          operation.value,
          config,
          `${prefix}set.`,
        );
      if (message.namespace !== "" || message.key !== "")
        throw refuse("namespace", `and key mean nothing for a ${name}`);
      if (operation.case === "store")
        return parseStore(call, operation.value, { requestId, prefix: `${prefix}store.` });
      if (operation.case === "publish")
        return parseEvent(call.caller, operation.value, `${prefix}publish.`);
      if (operation.value.entries.length === 0) throw refuse("append_entries.entries", "are none");
      return parseAppend(call.caller, operation.value, config, `${prefix}append_entries.`);
    }
    case undefined:
      parseKey(tenant, message, prefix);
      throw refuse("operation", "is missing");
    default: {
      const entry = parseKey(tenant, message, prefix);
      return parseChange(entry, operation as ChangeMessage, createIfMissing, config, prefix);
    }
  }
}
