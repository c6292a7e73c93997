import type { DeleteRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { audit, auditDigest } from "../storage/audit/audit.js";
import { purgeTransaction } from "../storage/audit/purge.js";
import { idempotencyKey, storeReply } from "../storage/idempotency.js";
import { userLockName } from "../storage/locks.js";
import { type Counts, countLinked, erase, lockUser } from "../storage/users/erase.js";
import * as check from "../validation/fields.js";

interface Erased {
  deleted: boolean;
  counts: Partial<Counts>;
  verified: boolean;
}

export async function deleteUser(request: DeleteRequest, call: Call) {
  const id = check.userId(request.id, "id");
  const { cascade, dryRun, verify } = request;
  check.exclusive("verify", verify, "dry_run", dryRun);
  const { deleted, counts, verified } = dryRun
    ? await countOnly(call, id, cascade)
    : await eraseUser(call, id, request);
  return {
    deleted,
    userId: id,
    counts: Object.fromEntries(Object.entries(counts).map(([table, n]) => [table, BigInt(n)])),
    totalDeleted: BigInt(Object.values(counts).reduce((sum, n) => sum + n, 0)),
    verified,
    dryRun,
  };
}

async function countOnly({ caller, db }: Call, id: string, cascade: boolean): Promise<Erased> {
  const counts = await countLinked(db.scans, caller.tenant, id);
  if (!cascade) refuseLinked(id, counts);
  return { deleted: counts.users > 0, counts: counts.users > 0 ? counts : {}, verified: false };
}

function refuseLinked(id: string, counts: Counts): void {
  const { mutable, immutable_version, claim, stream_entry } = counts;
  if (mutable + immutable_version + claim + stream_entry === 0) return;
  const details = {
    mutable: `${mutable}`,
    immutable_version: `${immutable_version}`,
    claim: `${claim}`,
    stream_entry: `${stream_entry}`,
  };
  throw new CortexError("USER_HAS_DATA", { user_id: id, ...details });
}

async function eraseUser(call: Call, id: string, request: DeleteRequest): Promise<Erased> {
  const { tenant } = call.caller;
  const { cascade, verify } = request;
  const key = idempotencyKey(request.requestId, "Users/Delete", [id, cascade, verify]);
  const { locks } = call.server;
  const name = userLockName(tenant, id);
  const owner = {};
  await locks.acquire(name, owner, call.signal); // writes that name the user wait in memory
  const erasing = purgeTransaction<Erased>(call, key, { removal: "erase" }, async (run) => {
    const erased: Erased = { deleted: false, counts: {}, verified: false };
    if (await lockUser(run, tenant, id)) {
      if (!cascade) refuseLinked(id, await countLinked(run, tenant, id));
      erased.deleted = true;
      erased.counts = await erase(run, tenant, id);
      if (verify) {
        const left = Object.values(await countLinked(run, tenant, id));
        if (left.some((n) => n > 0)) throw new Error("something of a user that was erased is left");
        erased.verified = true;
      }
      const deleted = { ...erased.counts };
      const asked = { user: auditDigest(tenant, id), cascade };
      await audit(call, run, { action: "Users.Delete", asked, deleted, userId: id });
    }
    if (key) await storeReply(run, tenant, key, { reply: JSON.stringify(erased), userIds: [] });
    return erased;
  });
  try {
    const erased = (await erasing) as Erased;
    if (erased.deleted) call.server.samples.noteErasure();
    return erased;
  } catch (error) {
    call.server.samples.noteErasure(); // perhaps it was committed
    throw error;
  } finally {
    locks.release(name, owner);
  }
}
