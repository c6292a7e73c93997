import type { UpdateRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { requestKey } from "../request.js";
import { type Operation, unitOf } from "./apply.js";
import { toRecord } from "./entry.js";
import { changeOperation, place } from "./operation.js";
import { write } from "./write.js";

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
