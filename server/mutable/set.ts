import type { SetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { atomicWrite } from "../storage/entries/atomic-write.js";
import { parseKey, toRecord } from "../storage/entries/entry.js";
import { parseSet } from "../storage/entries/operation.js";
import { entryWrites } from "../storage/entries/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { writeOnce } from "../storage/write-path.js";
import * as check from "../validation/fields.js";

export async function set(request: SetRequest, call: Call) {
  const { caller, server } = call;
  const { ifRevision, ifAbsent } = request;
  check.exclusive("if_absent", ifAbsent, "if_revision", ifRevision !== undefined);
  const operation = parseSet(parseKey(caller.tenant, request), request, server.config);
  if (ifAbsent) operation.expects = "absent";
  if (ifRevision !== undefined) operation.ifRevision = check.revision(ifRevision);
  const guard = parseGuard(call.caller.tenant, request.claim);
  const key = idempotencyKey(request.requestId, "Set", operation);
  const [result] = await writeOnce(
    call,
    entryWrites,
    atomicWrite(call, [operation], key, { guard }),
  );
  return { record: result?.row && toRecord(result.row) };
}
