import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { DeleteRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { requestKey } from "../request.js";
import { type Operation, unitOf } from "./apply.js";
import { place } from "./operation.js";
import { write } from "./write.js";

export async function deleteKey(request: DeleteRequest, call: Call) {
  const { tenant } = call;
  const { mustExist, ifRevision } = request;
  const at = place(tenant, request);
  const operation: Operation = {
    ...at,
    kind: "delete",
    expects: mustExist ? "present" : undefined,
    ifRevision: ifRevision === undefined ? undefined : check.revision(ifRevision),
  };
  const key = requestKey(request.requestId, "Delete", operation);
  const [result] = await write(call, unitOf(call, [operation], key));
  const { namespace, key: name } = at;
  return {
    deleted: result?.deleted ?? false,
    namespace,
    key: name,
    deleteTime: result && timestampFromDate(result.at),
  };
}
