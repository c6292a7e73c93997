import type { AckRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { parseDeliveries, parseGroup } from "../storage/streams/group.js";
import { settleWrite, settleWrites } from "../storage/streams/settle.js";
import { writeOnce } from "../storage/write-path.js";

export async function ack(request: AckRequest, call: Call) {
  if (request.deliveries.length === 0) return {};
  const group = parseGroup(call, request);
  const deliveries = parseDeliveries(request.deliveries);
  const key = idempotencyKey(request.requestId, "Streams/Ack", [group, deliveries]);
  const guard = parseGuard(group.tenant, request.claim);
  const write = settleWrite(group, { kind: "ack" }, deliveries, { key, guard });
  const { count } = await writeOnce(call, settleWrites, write);
  return { acknowledged: count };
}
