import type { RenewRequest } from "../../gen/cortex/claims/v1/claims_pb.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { changeClaim } from "../storage/claims/change.js";
import { parseHeld, toClaim } from "../storage/claims/claim.js";
import { idempotencyKey } from "../storage/idempotency.js";
import * as check from "../validation/fields.js";

export async function renew(request: RenewRequest, call: Call) {
  const held = parseHeld(call.caller.tenant, request);
  const ttlSeconds = check.ttlSeconds(request.ttlSeconds);
  const key = idempotencyKey(request.requestId, "Claims/Renew", [
    held.name,
    held.fence,
    ttlSeconds,
  ]);
  const claim = await changeClaim(
    call,
    held,
    key,
    (sql, isHeld) => sql`
      update claim c set expires_at = ${now(sql)} + ${ttlSeconds}::float8 * interval '1 second' where ${isHeld} returning c.*`,
  );
  return { claim: toClaim(claim) };
}
