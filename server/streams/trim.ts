import type { TrimRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { type Bounds, trimStream } from "../storage/streams/trim.js";
import * as check from "../validation/fields.js";
import { lowestId, maxLen, stream } from "../validation/stream-fields.js";

export async function trim(request: TrimRequest, call: Call) {
  const { tenant } = call.caller;
  const { maxLen: entries, maxAgeSeconds, beforeId, includePending } = request;
  const name = stream(request.stream);
  const bounds: Bounds = {
    maxLen: entries === undefined ? undefined : maxLen(entries, 0, "max_len"),
    maxAgeSeconds:
      maxAgeSeconds === undefined ? undefined : check.ttlSeconds(maxAgeSeconds, "max_age_seconds"),
    before: beforeId === undefined ? undefined : lowestId(beforeId, "before_id"),
    includePending,
  };
  if ((entries ?? maxAgeSeconds ?? beforeId) === undefined)
    throw new CortexError("INVALID_OPTIONS", {
      field: "max_len",
      problem: "is missing: a trim needs max_len, max_age_seconds or before_id",
    });
  const key = idempotencyKey(request.requestId, "Streams/Trim", [name, bounds]);
  const guard = parseGuard(tenant, request.claim);
  return { deleted: BigInt(await trimStream(call, name, bounds, { key, guard })) };
}
