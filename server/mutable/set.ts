import type { SetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { atomicWrite, type Operation } from "../storage/entries/apply.js";
import { toRecord } from "../storage/entries/entry.js";
import { parseKey, parseSet } from "../storage/entries/operation.js";
import { write } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import * as check from "../validation/fields.js";

export async function set(request: SetRequest, call: Call) {
  const { tenant, config } = call;
  const { ifRevision, ifAbsent } = request;
  check.exclusive(["if_absent", ifAbsent], ["if_revision", ifRevision !== undefined]);
  const operation: Operation = {
    ...parseSet(parseKey(tenant, request), request, config),
    expects: ifAbsent ? "absent" : undefined,
    ifRevision: ifRevision === undefined ? undefined : check.revision(ifRevision),
  };
  const key = idempotencyKey(request.requestId, "Set", operation);
  const [result] = await write(call, atomicWrite(call, [operation], key));
  return { record: result?.row && toRecord(result.row) };
}
