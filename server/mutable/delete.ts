import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { DeleteRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { atomicWrite } from "../storage/entries/atomic-write.js";
import { parseKey } from "../storage/entries/entry.js";
import type { Operation } from "../storage/entries/operation.js";
import { entryWrites } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { writeOnce } from "../storage/write-path.js";
import * as check from "../validation/fields.js";

export async function deleteKey(request: DeleteRequest, call: Call) {
  const { mustExist, ifRevision } = request;
  const entry = parseKey(call.caller.tenant, request);
  const operation: Operation = {
    ...entry,
    kind: "delete",
    expects: mustExist ? "present" : undefined,
    ifRevision: ifRevision === undefined ? undefined : check.revision(ifRevision),
  };
  const guard = parseGuard(call.caller.tenant, request.claim);
  const key = idempotencyKey(request.requestId, "Delete", operation);
  const [result] = await writeOnce(
    call,
    entryWrites,
    atomicWrite(call, [operation], key, { guard }),
  );
  return {
    deleted: result?.deleted ?? false,
    namespace: entry.namespace,
    key: entry.key,
    deleteTime: result && timestampFromDate(result.at),
  };
}
