import type { PurgeAllRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import { CortexError } from "../errors.js";
import { purging } from "../purging.js";
import { requestKey } from "../request.js";
import { live } from "./entry.js";
import { deleting, entryOf, type Purged } from "./purge.js";

export async function purgeAll({ dryRun, requestId }: PurgeAllRequest, call: Call) {
  const { tenant, config } = call;
  if (!config.allowPurgeAll) throw new CortexError("PURGE_ALL_DISABLED");
  const purged = await purging<Purged>(call, {
    request: requestKey(requestId, "PurgeAll", dryRun),
    dryRun,
    work: (sql) => deleting(sql, (sql) => sql`m.tenant = ${tenant} and ${live(sql)}`, dryRun),
    entry: (purged) => entryOf("PurgeAll", {}, purged),
  });
  return { deleted: BigInt(purged?.deleted ?? 0), dryRun };
}
