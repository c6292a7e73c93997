import type { UpdateRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { atomicWrite, type Operation } from "../storage/entries/apply.js";
import { toRecord } from "../storage/entries/entry.js";
import { parseChange, parseKey } from "../storage/entries/operation.js";
import { write } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import * as check from "../validation/fields.js";

export async function update(request: UpdateRequest, call: Call) {
  const { tenant, config } = call;
  const { createIfMissing, ifRevision } = request;
  check.exclusive(
    ["create_if_missing", createIfMissing],
    ["if_revision", ifRevision !== undefined],
  );
  const at = parseKey(tenant, request);
  const change = parseChange(at, request.operation, createIfMissing, config);
  const operation: Operation =
    ifRevision === undefined
      ? change
      : { ...change, expects: undefined, ifRevision: check.revision(ifRevision) };
  const key = idempotencyKey(request.requestId, "Update", operation);
  const [result] = await write(call, atomicWrite(call, [operation], key));
  return { record: result?.row && toRecord(result.row) };
}
