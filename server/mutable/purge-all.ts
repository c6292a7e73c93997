import type { PurgeAllRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import { CortexError } from "../errors.js";
import { once, requestKey } from "../request.js";
import { live } from "./entry.js";
import { purging } from "./purge.js";

export async function purgeAll({ dryRun, requestId }: PurgeAllRequest, call: Call) {
  const { tenant, purges, config } = call;
  if (!config.allowPurgeAll) throw new CortexError("PURGE_ALL_DISABLED");
  const request = requestKey(requestId, "PurgeAll", dryRun);
  const purged = await once<{ deleted: number }>(purges, tenant, request, (sql) =>
    purging(sql, (sql) => sql`m.tenant = ${tenant} and ${live(sql)}`, dryRun),
  );
  return { deleted: BigInt(purged?.deleted ?? 0), dryRun };
}
