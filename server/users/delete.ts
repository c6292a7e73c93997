import type { DeleteRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { audit, userDigest } from "../storage/audit/audit.js";
import { purgeTransaction } from "../storage/audit/purge.js";
import { idempotencyKey, storeReply } from "../storage/idempotency.js";
import { type Counts, erase, linked, locked } from "../storage/users/erase.js";
import type { Author } from "../storage/versions/store.js";
import * as check from "../validation/fields.js";

interface Erased {
  deleted: boolean;
  counts: Partial<Counts>;
  verified: boolean;
}

export async function deleteUser(request: DeleteRequest, call: Call) {
  const id = check.userId(request.id, "id");
  const { cascade, dryRun, verify } = request;
  check.exclusive(["verify", verify], ["dry_run", dryRun]);
  const { deleted, counts, verified } = dryRun
    ? await counted(call, id, cascade)
    : await erased(call, id, request);
  return {
    deleted,
    userId: id,
    counts: Object.fromEntries(Object.entries(counts).map(([table, n]) => [table, BigInt(n)])),
    totalDeleted: BigInt(Object.values(counts).reduce((sum, n) => sum + n, 0)),
    verified,
    dryRun,
  };
}

async function counted({ tenant, bulk }: Call, id: string, cascade: boolean): Promise<Erased> {
  const counts = await linked(bulk, tenant, id);
  if (!cascade) refuseLinked(id, counts);
  return { deleted: counts.users > 0, counts: counts.users > 0 ? counts : {}, verified: false };
}

function refuseLinked(id: string, { mutable, immutable_version }: Counts): void {
  if (mutable + immutable_version === 0) return;
  const details = { mutable: `${mutable}`, immutable_version: `${immutable_version}` };
  throw new CortexError("USER_HAS_DATA", { user_id: id, ...details });
}

async function erased(call: Call, id: string, request: DeleteRequest): Promise<Erased> {
  const { tenant } = call;
  const { cascade, verify } = request;
  const key = idempotencyKey(request.requestId, "Users/Delete", [id, cascade, verify]);
  const outcome = await purgeTransaction<Erased>(call, key, async (run) => {
    const outcome: Erased = { deleted: false, counts: {}, verified: false };
    if (await locked(run, tenant, id)) {
      if (!cascade) refuseLinked(id, await linked(run, tenant, id));
      outcome.deleted = true;
      outcome.counts = await erase(run, tenant, id);
      if (verify) {
        const left = Object.values(await linked(run, tenant, id));
        if (left.some((n) => n > 0)) throw new Error("something of a user that was erased is left");
        outcome.verified = true;
      }
      const asked = { user: userDigest(tenant, id), cascade };
      const entry = { action: "Users.Delete", asked, deleted: { ...outcome.counts } };
      await audit(withoutUser(call, id), run, entry);
    }
    if (key) await storeReply(run, tenant, key, { reply: JSON.stringify(outcome), userIds: [] });
    return outcome;
  });
  return outcome as Erased;
}

/** The call as the log may show it: a user who erases himself is not named there. */
function withoutUser({ tenant, agent, principal, config, language }: Call, id: string): Author {
  const word = `(?<![\\p{L}\\p{N}])${id.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}(?![\\p{L}\\p{N}])`;
  const names = new RegExp(word, "u");
  const shown = (text: string | undefined) => (text && names.test(text) ? undefined : text);
  return { tenant, agent: shown(agent), principal: shown(principal), config, language };
}
