import type { SetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { requestKey } from "../request.js";
import { type Operation, unitOf } from "./apply.js";
import { toRecord } from "./entry.js";
import { place, setOperation } from "./operation.js";
import { write } from "./write.js";

export async function set(request: SetRequest, call: Call) {
  const { tenant, config } = call;
  const { ifRevision, ifAbsent } = request;
  check.exclusive(["if_absent", ifAbsent], ["if_revision", ifRevision !== undefined]);
  const operation: Operation = {
    ...setOperation(place(tenant, request), request, config),
    expects: ifAbsent ? "absent" : undefined,
    ifRevision: ifRevision === undefined ? undefined : check.revision(ifRevision),
  };
  const key = requestKey(request.requestId, "Set", operation);
  const [result] = await write(call, unitOf(call, [operation], key));
  return { record: result?.row && toRecord(result.row) };
}
