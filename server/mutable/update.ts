import type { UpdateRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { type Operation, unitOf } from "../storage/entries/apply.js";
import { toRecord } from "../storage/entries/entry.js";
import { changeOperation, place } from "../storage/entries/operation.js";
import { write } from "../storage/entries/write.js";
import { requestKey } from "../storage/idempotency.js";
import * as check from "../validation/fields.js";

export async function update(request: UpdateRequest, call: Call) {
  const { tenant, config } = call;
  const { createIfMissing, ifRevision } = request;
  check.exclusive(
    ["create_if_missing", createIfMissing],
    ["if_revision", ifRevision !== undefined],
  );
  const at = place(tenant, request);
  const change = changeOperation(at, request.operation, createIfMissing, config);
  const operation: Operation =
    ifRevision === undefined
      ? change
      : { ...change, expects: undefined, ifRevision: check.revision(ifRevision) };
  const key = requestKey(request.requestId, "Update", operation);
  const [result] = await write(call, unitOf(call, [operation], key));
  return { record: result?.row && toRecord(result.row) };
}
