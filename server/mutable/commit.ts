import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type {
  CommitRequest,
  OperationResultSchema,
  Precondition,
} from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import {
  type AtomicWrite,
  atomicWrite,
  type Operation,
  type Result,
} from "../storage/entries/apply.js";
import { toRecord } from "../storage/entries/entry.js";
import { parseKey, parseSteps, type TransactionStep } from "../storage/entries/operation.js";
import { refusalOf } from "../storage/entries/refuse.js";
import { resultsIn, type StepResult } from "../storage/entries/reply.js";
import { write } from "../storage/entries/write.js";
import { findStoredReply, type IdempotencyKey, idempotencyKey } from "../storage/idempotency.js";
import { Session } from "../storage/transactions/session.js";
import { asksOf } from "../storage/versions/store.js";
import { toRecord as toVersionedRecord } from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

const attemptsMax = 10;

export async function commit(request: CommitRequest, call: Call) {
  const { tenant } = call;
  const { preconditions, requestId } = request;
  const used = preconditions.length;
  const steps = parseSteps(call, request.operations, { used, requestId });
  if (steps.length + used === 0)
    throw new CortexError("INVALID_OPERATIONS", { field: "operations", problem: "are none" });
  const checks = preconditions.map((precondition, i) =>
    checkOf(tenant, precondition, `preconditions[${i}].`),
  );
  const all = [...checks, ...steps];
  const asks = all.map((step) => (step.kind === "store" ? asksOf(step) : step));
  const key = idempotencyKey(requestId, "Commit", asks);
  const operations = all.filter((step) => step.kind !== "store");
  const results =
    operations.length < all.length
      ? await commitWithStores(call, all, key, used)
      : await commitAlone(call, atomicWrite(call, operations, key), used);
  return { results: toResults(results.slice(used)) };
}

/** Operations on keys alone: in one statement. */
const commitAlone = (call: Call, unit: AtomicWrite, used: number): Promise<Result[]> =>
  write(call, unit, (refusal) => failure(refusalOf(unit, refusal), refusal.index, used));

/** Stores of versions among them: in one transaction. */
async function commitWithStores(
  call: Call,
  steps: TransactionStep[],
  request: IdempotencyKey | undefined,
  used: number,
): Promise<StepResult[]> {
  const before = async () => {
    const past = request && (await findStoredReply(call.run, call.tenant, request));
    return past === undefined ? undefined : resultsIn(past);
  };
  for (let attempt = 1; ; attempt++) {
    const past = await before();
    if (past) return past;
    const session = new Session(call);
    try {
      await session.write(steps, used);
      await session.commit(request);
      return session.results;
    } catch (error) {
      const reason = error instanceof CortexError ? error.reason : undefined;
      if (reason === "CONFLICT" && attempt < attemptsMax) continue;
      // What refuses it may be what a repeat of it has done meanwhile.
      const past = reason === "TRANSACTION_FAILED" ? await before() : undefined;
      if (!past) throw error;
      return past;
    } finally {
      await session.end();
    }
  }
}

function checkOf(tenant: string, message: Precondition, prefix: string): Operation {
  const at = parseKey(tenant, message, prefix);
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

/** A transaction that failed for one of its steps; those before `first` are preconditions, `done` steps were written before. */
export function failure(
  { reason, message, details }: CortexError,
  index: number,
  first = 0,
  done = 0,
): CortexError {
  return new CortexError("TRANSACTION_FAILED", {
    ...details,
    ...(index < first
      ? { precondition_index: `${index}` }
      : { operation_index: `${done + index - first}` }),
    reason,
    problem: message,
  });
}

/** What each step gave, as messages. */
export function toResults(results: StepResult[]): MessageInitShape<typeof OperationResultSchema>[] {
  return results.map((result) => {
    if ("stored" in result)
      return { result: { case: "stored", value: toVersionedRecord(result.stored) } };
    const { row, namespace, key, deleted, at } = result;
    if (row) return { result: { case: "record", value: toRecord(row) } };
    const value = { deleted, namespace, key, deleteTime: timestampFromDate(at) };
    return { result: { case: "deleted", value } };
  });
}
