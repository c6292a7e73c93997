import type { TakeOverRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { deliverWrites } from "../storage/streams/deliver.js";
import { deliverWrite } from "../storage/streams/delivery.js";
import { parseGroup, parseIds } from "../storage/streams/group.js";
import { toDelivered } from "../storage/streams/stream.js";
import { writeOnce } from "../storage/write-path.js";
import { consumer, minIdleSeconds, readCount } from "../validation/stream-fields.js";

export async function takeOver(request: TakeOverRequest, call: Call) {
  const reader = { ...parseGroup(call, request), consumer: consumer(request.consumer) };
  const count = readCount(request.count ?? 100);
  const takeOver = {
    ids: parseIds(request.ids),
    idleSeconds: minIdleSeconds(request.minIdleSeconds),
  };
  const key = idempotencyKey(request.requestId, "Streams/TakeOver", [reader, count, takeOver]);
  const guard = parseGuard(reader.tenant, request.claim);
  const write = deliverWrite(reader, { count, takeOver }, { key, guard });
  const { rows, visibilitySeconds } = await writeOnce(call, deliverWrites, write);
  return { entries: rows.map(toDelivered), visibilitySeconds };
}
