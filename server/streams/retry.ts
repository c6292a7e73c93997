import type { RetryRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { parseGroup, parseIds } from "../storage/streams/group.js";
import { settleWrite, settleWrites } from "../storage/streams/settle.js";
import { streamLockName } from "../storage/streams/stream.js";
import { writeOnce } from "../storage/write-path.js";

export async function retry(request: RetryRequest, call: Call) {
  const group = parseGroup(call, request);
  const ids = parseIds(request.ids);
  if (ids.length === 0)
    throw new CortexError("INVALID_BATCH", { field: "ids", problem: "is empty" });
  const key = idempotencyKey(request.requestId, "Streams/Retry", [group, ids]);
  const guard = parseGuard(group.tenant, request.claim);
  const write = settleWrite(group, { kind: "retry" }, ids, { key, guard });
  const { count } = await writeOnce(call, settleWrites, write);
  call.server.bus.publish([streamLockName(group.tenant, group.stream)]);
  return { givenBack: count };
}
