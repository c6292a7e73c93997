import type { PurgeNamespaceRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { checkFilter } from "../storage/entries/filter.js";
import { purge } from "../storage/entries/purge.js";

export async function purgeNamespace(request: PurgeNamespaceRequest, call: Call) {
  const matching = checkFilter(call.tenant, request.namespace, undefined);
  return purge(call, "PurgeNamespace", matching, request);
}
