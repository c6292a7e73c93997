import type { NackRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { parseDeliveries, parseGroup } from "../storage/streams/group.js";
import { settleWrite, settleWrites } from "../storage/streams/settle.js";
import { streamLockName } from "../storage/streams/stream.js";
import { writeOnce } from "../storage/write-path.js";
import { delaySeconds, reason } from "../validation/stream-fields.js";

export async function nack(request: NackRequest, call: Call) {
  if (request.deliveries.length === 0) return {};
  const group = parseGroup(call, request);
  const deliveries = parseDeliveries(request.deliveries);
  const action = {
    kind: "nack" as const,
    delaySeconds: delaySeconds(request.delaySeconds ?? 0),
    reason: request.reason === undefined ? undefined : reason(request.reason),
    isUncounted: request.uncounted,
  };
  const content = [group, deliveries, action];
  const key = idempotencyKey(request.requestId, "Streams/Nack", content);
  const guard = parseGuard(group.tenant, request.claim);
  const write = settleWrite(group, action, deliveries, { key, guard });
  const { count, dead } = await writeOnce(call, settleWrites, write);
  call.server.bus.publish([streamLockName(group.tenant, group.stream)]);
  return { givenBack: count, deadLetters: dead };
}
