import type { ReleaseRequest } from "../../gen/cortex/claims/v1/claims_pb.js";
import type { Call } from "../grpc/call.js";
import { changeClaim } from "../storage/claims/change.js";
import { claimLockName, parseHeld } from "../storage/claims/claim.js";
import { idempotencyKey } from "../storage/idempotency.js";

export async function release(request: ReleaseRequest, call: Call) {
  const { tenant } = call.caller;
  const held = parseHeld(tenant, request);
  const key = idempotencyKey(request.requestId, "Claims/Release", [held.name, held.fence]);
  await changeClaim(
    call,
    held,
    key,
    (sql, isHeld) => sql`delete from claim c where ${isHeld} returning c.*`,
  );
  call.server.bus.publish([claimLockName(tenant, held.name)]);
  return {};
}
