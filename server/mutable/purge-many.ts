import type { PurgeManyRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { checkFilter, filters } from "../storage/entries/filter.js";
import { purge } from "../storage/entries/purge.js";

export async function purgeMany(request: PurgeManyRequest, call: Call) {
  const { tenant, access } = call;
  const matching = checkFilter(tenant, request.namespace, request.filter);
  if (!filters(matching)) {
    const problem = "is empty: PurgeNamespace deletes a whole namespace";
    throw new CortexError("INVALID_FILTER", { field: "filter", problem });
  }
  if (matching.lastAccessedBefore) await access.settle(tenant, matching.namespace);
  return purge(call, "PurgeMany", matching, request);
}
