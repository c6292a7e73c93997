import type { AcquireRequest } from "../../gen/cortex/claims/v1/claims_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { acquireClaim } from "../storage/claims/acquire.js";
import { toClaim } from "../storage/claims/claim.js";
import * as check from "../validation/fields.js";
import { json } from "../validation/json.js";

export const valueBytesMax = 64 * 1024;

export async function acquire(request: AcquireRequest, call: Call) {
  const { owner = call.caller.agent, valueJson, userId, waitSeconds = 0 } = request;
  if (owner === undefined)
    throw new CortexError("INVALID_CLAIM", {
      field: "owner",
      problem: "is missing, and the caller has no x-agent-id",
    });
  const claim = await acquireClaim(call, {
    name: check.claimName(request.name),
    owner: check.claimOwner(owner),
    value: valueJson === undefined ? undefined : json(valueJson, "value_json", valueBytesMax),
    userId: userId === undefined ? undefined : check.userId(userId),
    ttlSeconds: check.ttlSeconds(request.ttlSeconds),
    waitSeconds: check.waitSeconds(waitSeconds),
    requestId: request.requestId,
  });
  return claim ? { claim: toClaim(claim) } : {};
}
