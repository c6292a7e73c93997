import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type {
  CommitRequest,
  OperationResultSchema,
  Precondition,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { CortexError } from "../errors.js";
import { requestKey } from "../request.js";
import { type Operation, type Refusal, type Result, type Unit, unitOf } from "./apply.js";
import { toRecord } from "./entry.js";
import { operationsOf, place } from "./operation.js";
import { refusalOf } from "./refuse.js";
import { write } from "./write.js";

export async function commit(request: CommitRequest, call: Call) {
  const { tenant, config } = call;
  const { preconditions } = request;
  const operations = operationsOf(tenant, request.operations, config, {
    used: preconditions.length,
  });
  if (operations.length + preconditions.length === 0)
    throw new CortexError("INVALID_OPERATIONS", { field: "operations", problem: "are none" });
  const checks = preconditions.map((precondition, i) =>
    checkOf(tenant, precondition, `preconditions[${i}].`),
  );
  const all = [...checks, ...operations];
  const unit = unitOf(tenant, all, requestKey(request.requestId, "Commit", all), config);
  const results = await write(call, unit, (refusal) => failure(unit, refusal, checks.length));
  return { results: toResults(results.slice(checks.length)) };
}

function checkOf(tenant: string, message: Precondition, prefix: string): Operation {
  const at = place(tenant, message, prefix);
  const { condition } = message;
  switch (condition.case) {
    case "revision":
      return {
        ...at,
        kind: "check",
        ifRevision: check.revision(condition.value, `${prefix}revision`),
      };
    case "exists":
      return { ...at, kind: "check", expects: condition.value ? "present" : "absent" };
    case undefined:
      throw new CortexError("INVALID_OPERATIONS", {
        field: `${prefix}condition`,
        problem: "is missing",
      });
  }
}

/** A transaction that failed for one of its operations; those before `first` are preconditions. */
export function failure(unit: Unit, refusal: Refusal, first = 0, done = 0): CortexError {
  const { reason, message, details } = refusalOf(unit, refusal);
  const { index } = refusal;
  return new CortexError("TRANSACTION_FAILED", {
    ...details,
    ...(index < first
      ? { precondition_index: `${index}` }
      : { operation_index: `${done + index - first}` }),
    reason,
    problem: message,
  });
}

/** What each operation gave, as messages. */
export function toResults(results: Result[]): MessageInitShape<typeof OperationResultSchema>[] {
  return results.map(({ row, namespace, key, deleted, at }) => {
    if (row) return { result: { case: "record", value: toRecord(row) } };
    const value = { deleted, namespace, key, deleteTime: timestampFromDate(at) };
    return { result: { case: "deleted", value } };
  });
}
