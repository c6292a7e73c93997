import type { PurgeAllRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { live } from "../storage/entries/entry.js";
import { purgeEntries } from "../storage/entries/purge.js";

export async function purgeAll({ dryRun, requestId }: PurgeAllRequest, call: Call) {
  const { tenant } = call.caller;
  if (!call.server.config.allowPurgeAll) throw new CortexError("PURGE_ALL_DISABLED");
  const { deleted } = await purgeEntries(call, {
    rpc: "PurgeAll",
    requestId,
    dryRun,
    identity: dryRun,
    asked: {},
    condition: (sql) => sql`m.tenant = ${tenant} and ${live(sql)}`,
  });
  return { deleted, dryRun };
}
