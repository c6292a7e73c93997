import type { PurgeAllRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { purging } from "../storage/audit/purge.js";
import { live } from "../storage/entries/entry.js";
import { deleting, entryOf, type Purged } from "../storage/entries/purge.js";
import { idempotencyKey } from "../storage/idempotency.js";

export async function purgeAll({ dryRun, requestId }: PurgeAllRequest, call: Call) {
  const { tenant, config } = call;
  if (!config.allowPurgeAll) throw new CortexError("PURGE_ALL_DISABLED");
  const purged = await purging<Purged>(call, {
    request: idempotencyKey(requestId, "PurgeAll", dryRun),
    dryRun,
    work: (sql) => deleting(sql, (sql) => sql`m.tenant = ${tenant} and ${live(sql)}`, dryRun),
    entry: (purged) => entryOf("PurgeAll", {}, purged),
  });
  return { deleted: BigInt(purged?.deleted ?? 0), dryRun };
}
