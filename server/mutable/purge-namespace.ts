import type { PurgeNamespaceRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import { checkFilter } from "./filter.js";
import { purge } from "./purge.js";

export async function purgeNamespace(request: PurgeNamespaceRequest, call: Call) {
  const matching = checkFilter(call.tenant, request.namespace, undefined);
  return purge(call, "PurgeNamespace", matching, request);
}
