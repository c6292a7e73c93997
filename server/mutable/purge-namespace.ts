import type { PurgeNamespaceRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { parseFilter } from "../storage/entries/filter.js";
import { purgeMatching } from "../storage/entries/purge.js";

export async function purgeNamespace(request: PurgeNamespaceRequest, call: Call) {
  const filter = parseFilter(call.caller.tenant, request.namespace, undefined);
  return purgeMatching(call, "PurgeNamespace", filter, request);
}
