import type { PurgeManyRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { isFiltered, parseFilter } from "../storage/entries/filter.js";
import { purgeMatching } from "../storage/entries/purge.js";

export async function purgeMany(request: PurgeManyRequest, call: Call) {
  const { caller, server } = call;
  const filter = parseFilter(caller.tenant, request.namespace, request.filter);
  if (!isFiltered(filter)) {
    const problem = "is empty: PurgeNamespace deletes a whole namespace";
    throw new CortexError("INVALID_FILTER", { field: "filter", problem });
  }
  if (filter.lastAccessedBefore) await server.access.settle(filter.tenant, filter.namespace);
  return purgeMatching(call, "PurgeMany", filter, request);
}
