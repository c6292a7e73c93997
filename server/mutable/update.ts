import type { UpdateRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { atomicWrite } from "../storage/entries/atomic-write.js";
import { parseKey, toRecord } from "../storage/entries/entry.js";
import { type Operation, parseChange } from "../storage/entries/operation.js";
import { entryWrites } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { writeOnce } from "../storage/write-path.js";
import * as check from "../validation/fields.js";

export async function update(request: UpdateRequest, call: Call) {
  const { createIfMissing, ifRevision } = request;
  check.exclusive("create_if_missing", createIfMissing, "if_revision", ifRevision !== undefined);
  const entry = parseKey(call.caller.tenant, request);
  const change = parseChange(entry, request.operation, createIfMissing, call.server.config);
  const operation: Operation =
    ifRevision === undefined
      ? change
      : { ...change, expects: undefined, ifRevision: check.revision(ifRevision) };
  const guard = parseGuard(call.caller.tenant, request.claim);
  const key = idempotencyKey(request.requestId, "Update", operation);
  const [result] = await writeOnce(
    call,
    entryWrites,
    atomicWrite(call, [operation], key, { guard }),
  );
  return { record: result?.row && toRecord(result.row) };
}
