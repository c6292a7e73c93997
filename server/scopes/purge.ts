import type { PurgeRequest } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import type { Call } from "../grpc/call.js";
import { audit } from "../storage/audit/audit.js";
import { purgeTransaction } from "../storage/audit/purge.js";
import { findStoredReply, idempotencyKey, storeReply } from "../storage/idempotency.js";
import { rangeOf } from "../storage/name-range.js";
import { countScope, removeScope, type ScopeCounts } from "../storage/scopes/remove.js";

export async function purge({ dryRun, requestId }: PurgeRequest, call: Call) {
  const { caller, db } = call;
  const { tenant } = caller;
  const range = rangeOf(caller);
  const key = idempotencyKey(requestId, "Scopes/Purge", [range.low, dryRun]);
  if (dryRun) {
    if (key) await findStoredReply(db.short, tenant, key); // refuses a reused request id
    return answer(await countScope(db.scans, tenant, range), dryRun);
  }
  const purged = await purgeTransaction<ScopeCounts>(
    call,
    key,
    { removal: "purge" },
    async (run) => {
      const { counts, userId } = await removeScope(run, tenant, range);
      if (Object.values(counts).some((n) => n > 0))
        await audit(call, run, {
          action: "Scopes.Purge",
          asked: {},
          deleted: { ...counts },
          ...(userId !== undefined && { userId }),
        });
      if (key) await storeReply(run, tenant, key, { reply: JSON.stringify(counts), userIds: [] });
      return counts;
    },
  );
  return answer(purged as ScopeCounts, dryRun); // the work refuses nothing
}

const answer = ({ entries, records, versions, claims, streams }: ScopeCounts, dryRun: boolean) => ({
  entries: BigInt(entries),
  records: BigInt(records),
  versions: BigInt(versions),
  claims: BigInt(claims),
  streams: BigInt(streams),
  dryRun,
});
