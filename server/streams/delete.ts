import type { DeleteRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { audit } from "../storage/audit/audit.js";
import { purgeTransaction } from "../storage/audit/purge.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey, storeReply } from "../storage/idempotency.js";
import { removeStreams } from "../storage/streams/remove.js";
import { stream } from "../validation/stream-fields.js";

interface Deleted {
  deleted: boolean;
  entries: number;
}

export async function deleteStream(request: DeleteRequest, call: Call) {
  const { tenant } = call.caller;
  const name = stream(request.stream);
  const guard = parseGuard(tenant, request.claim);
  const key = idempotencyKey(request.requestId, "Streams/Delete", [name]);
  const deleted = await purgeTransaction<Deleted>(
    call,
    key,
    { removal: "purge", guard },
    async (run) => {
      const { streams, entries } = await removeStreams(
        run,
        (sql) => sql`s.tenant = ${tenant} and s.name = ${name}`,
      );
      if (streams > 0)
        await audit(call, run, {
          action: "Streams.Delete",
          asked: { stream: name },
          deleted: { streams, entries },
        });
      const reply = { deleted: streams > 0, entries };
      if (key) await storeReply(run, tenant, key, { reply: JSON.stringify(reply), userIds: [] });
      return reply;
    },
  );
  const { entries } = deleted as Deleted; // the work refuses nothing
  return { deleted: (deleted as Deleted).deleted, entries: BigInt(entries) };
}
