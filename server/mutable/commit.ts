import type { CommitRequest, Precondition } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { type Guard, parseGuard } from "../storage/claims/guard.js";
import { atomicWrite } from "../storage/entries/atomic-write.js";
import { parseKey } from "../storage/entries/entry.js";
import type { Operation } from "../storage/entries/operation.js";
import { entryWrites } from "../storage/entries/write.js";
import { type IdempotencyKey, idempotencyKey, once } from "../storage/idempotency.js";
import { fromReply, type StepResult, toMessages } from "../storage/transactions/result.js";
import { Session } from "../storage/transactions/session.js";
import {
  isOnEntry,
  parseSteps,
  stepIdentity,
  type TransactionStep,
} from "../storage/transactions/step.js";
import { writeOnce } from "../storage/write-path.js";
import * as check from "../validation/fields.js";

export async function commit(request: CommitRequest, call: Call) {
  const { requestId } = request;
  const used = request.preconditions.length;
  const operations = parseSteps(call, request.operations, { used, requestId });
  if (operations.length + used === 0)
    throw new CortexError("INVALID_OPERATIONS", { field: "operations", problem: "are none" });
  const preconditions = request.preconditions.map((precondition, i) =>
    parsePrecondition(call.caller.tenant, precondition, `preconditions[${i}].`),
  );
  const steps = [...preconditions, ...operations];
  const guard = parseGuard(call.caller.tenant, request.claim);
  const key = idempotencyKey(requestId, "Commit", steps.map(stepIdentity));
  const onEntries = steps.filter(isOnEntry);
  // A commit of entries alone is one statement. With versions or events, it takes a database transaction.
  const results =
    onEntries.length === steps.length
      ? await writeOnce(
          call,
          entryWrites,
          atomicWrite(call, onEntries, key, { guard, preconditions: used }),
        )
      : await commitSteps(call, steps, key, { guard, preconditions: used });
  return { results: toMessages(results.slice(used)) };
}

async function commitSteps(
  call: Call,
  steps: TransactionStep[],
  key: IdempotencyKey | undefined,
  { guard, preconditions }: { guard: Guard | undefined; preconditions: number },
): Promise<StepResult[]> {
  const results = await once(call, key, {
    parse: (reply) => fromReply(reply, call, steps),
    async attempt() {
      const session = new Session(call, () => call.db.beginCommit(), true);
      try {
        await session.write(steps, preconditions);
        await session.commit(key, guard);
        return session.results;
      } finally {
        await session.end();
      }
    },
  });
  return results as StepResult[]; // an attempt gives results, or throws
}

function parsePrecondition(tenant: string, message: Precondition, prefix: string): Operation {
  const entry = parseKey(tenant, message, prefix);
  const { condition } = message;
  switch (condition.case) {
    case "revision":
      return {
        ...entry,
        kind: "check",
        ifRevision: check.revision(condition.value, `${prefix}revision`),
      };
    case "exists":
      return { ...entry, kind: "check", expects: condition.value ? "present" : "absent" };
    case undefined:
      throw new CortexError("INVALID_OPERATIONS", {
        field: `${prefix}condition`,
        problem: "is missing",
      });
  }
}
