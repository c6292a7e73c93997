import type { ReadRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { parseGroup } from "../storage/streams/group.js";
import { readGroup } from "../storage/streams/read.js";
import { toDelivered } from "../storage/streams/stream.js";
import { blockSeconds, consumer, readCount } from "../validation/stream-fields.js";

export async function read(request: ReadRequest, call: Call) {
  const reader = { ...parseGroup(call, request), consumer: consumer(request.consumer) };
  const count = readCount(request.count ?? 10);
  const blockMs = blockSeconds(request.blockSeconds ?? 0) * 1000;
  const key = idempotencyKey(request.requestId, "Streams/Read", [reader, count]);
  const guard = parseGuard(reader.tenant, request.claim);
  const { rows, visibilitySeconds } = await readGroup(call, reader, { count, blockMs, key, guard });
  return { entries: rows.map(toDelivered), visibilitySeconds };
}
