import type { RemoveConsumerRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { parseGroup } from "../storage/streams/group.js";
import { settleWrite, settleWrites } from "../storage/streams/settle.js";
import { streamLockName } from "../storage/streams/stream.js";
import { writeOnce } from "../storage/write-path.js";
import { consumer as checkConsumer } from "../validation/stream-fields.js";

export async function removeConsumer(request: RemoveConsumerRequest, call: Call) {
  const group = parseGroup(call, request);
  const consumer = checkConsumer(request.consumer);
  const key = idempotencyKey(request.requestId, "Streams/RemoveConsumer", [group, consumer]);
  const guard = parseGuard(group.tenant, request.claim);
  const write = settleWrite(group, { kind: "remove", consumer }, [], { key, guard });
  const { count } = await writeOnce(call, settleWrites, write);
  call.server.bus.publish([streamLockName(group.tenant, group.stream)]);
  return { givenBack: BigInt(count) };
}
