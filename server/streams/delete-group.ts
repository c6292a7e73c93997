import type { DeleteGroupRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { audit } from "../storage/audit/audit.js";
import { purgeTransaction } from "../storage/audit/purge.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey, storeReply } from "../storage/idempotency.js";
import { parseGroup } from "../storage/streams/group.js";
import { removeGroup } from "../storage/streams/remove.js";

export async function deleteGroup(request: DeleteGroupRequest, call: Call) {
  const named = parseGroup(call, request);
  const { tenant, stream, group } = named;
  const guard = parseGuard(tenant, request.claim);
  const key = idempotencyKey(request.requestId, "Streams/DeleteGroup", [stream, group]);
  const reply = await purgeTransaction<{ deleted: boolean }>(
    call,
    key,
    { removal: "purge", guard },
    async (run) => {
      const deleted = await removeGroup(run, named);
      if (deleted)
        await audit(call, run, {
          action: "Streams.DeleteGroup",
          asked: { stream, group },
          deleted: { groups: 1 },
        });
      if (key)
        await storeReply(run, tenant, key, { reply: JSON.stringify({ deleted }), userIds: [] });
      return { deleted };
    },
  );
  return reply as { deleted: boolean }; // the work refuses nothing
}
