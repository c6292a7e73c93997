import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { DeleteRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { atomicWrite, type Operation } from "../storage/entries/apply.js";
import { parseKey } from "../storage/entries/operation.js";
import { write } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import * as check from "../validation/fields.js";

export async function deleteKey(request: DeleteRequest, call: Call) {
  const { tenant } = call;
  const { mustExist, ifRevision } = request;
  const at = parseKey(tenant, request);
  const operation: Operation = {
    ...at,
    kind: "delete",
    expects: mustExist ? "present" : undefined,
    ifRevision: ifRevision === undefined ? undefined : check.revision(ifRevision),
  };
  const key = idempotencyKey(request.requestId, "Delete", operation);
  const [result] = await write(call, atomicWrite(call, [operation], key));
  const { namespace, key: name } = at;
  return {
    deleted: result?.deleted ?? false,
    namespace,
    key: name,
    deleteTime: result && timestampFromDate(result.at),
  };
}
