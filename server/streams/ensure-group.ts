import { type EnsureGroupRequest, GroupStart } from "../../gen/cortex/streams/v1/streams_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { ensureGroup as ensure } from "../storage/streams/ensure-group.js";
import { parseGroup } from "../storage/streams/group.js";
import * as check from "../validation/fields.js";
import { entryId, maxDeliveries, visibilitySeconds } from "../validation/stream-fields.js";

export async function ensureGroup(request: EnsureGroupRequest, call: Call) {
  const { start, afterId, visibilitySeconds: seconds, maxDeliveries: deliveries } = request;
  const group = parseGroup(call, request);
  check.exclusive("after_id", afterId !== undefined, "start", start !== GroupStart.UNSPECIFIED);
  if (GroupStart[start] === undefined)
    throw new CortexError("INVALID_OPTIONS", {
      field: "start",
      problem: "is not one that is known",
      got: `${start}`,
    });
  const options = {
    start:
      afterId === undefined
        ? start === GroupStart.END
          ? ("end" as const)
          : { ms: 0, seq: 0 }
        : entryId(afterId, "after_id"),
    visibilitySeconds: seconds === undefined ? undefined : visibilitySeconds(seconds),
    maxDeliveries: deliveries === undefined ? undefined : maxDeliveries(deliveries),
  };
  const key = idempotencyKey(request.requestId, "Streams/EnsureGroup", [group, options]);
  const guard = parseGuard(group.tenant, request.claim);
  const { created, visibility_seconds, max_deliveries } = await ensure(call, group, options, {
    key,
    guard,
  });
  return {
    created,
    visibilitySeconds: visibility_seconds,
    ...(max_deliveries !== null && { maxDeliveries: max_deliveries }),
  };
}
