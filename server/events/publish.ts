import type { PublishRequest } from "../../gen/cortex/events/v1/events_pb.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { eventIdentity, eventWrite, parseEvent } from "../storage/events/event.js";
import { eventWrites } from "../storage/events/write.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { writeOnce } from "../storage/write-path.js";
import * as check from "../validation/fields.js";

export async function publish(request: PublishRequest, call: Call) {
  const { caller, server } = call;
  check.batch("events", request.events.length);
  if (request.events.length === 0) return {};
  const events = request.events.map((message, i) => parseEvent(caller, message, `events[${i}].`));
  const guard = parseGuard(caller.tenant, request.claim);
  const key = idempotencyKey(request.requestId, "Events/Publish", events.map(eventIdentity));
  await writeOnce(call, eventWrites, eventWrite(caller.tenant, events, { key, guard }));
  const receivers = ({ channel }: { channel: string }) =>
    server.feed.receivers(caller.tenant, channel);
  return { receivers: events.reduce((sum, event) => sum + receivers(event), 0) };
}
