import type { GetRequest } from "../../gen/cortex/claims/v1/claims_pb.js";
import type { Call } from "../grpc/call.js";
import { type ClaimRow, columns, isHeld, toClaim } from "../storage/claims/claim.js";
import * as check from "../validation/fields.js";

export async function get(request: GetRequest, { caller, db }: Call) {
  const name = check.claimName(request.name);
  const [claim] = await db.short<ClaimRow>(
    (sql) => sql`select ${columns(sql)} from claim c where ${isHeld(sql, caller.tenant, name)}`,
  );
  return claim ? { claim: toClaim(claim) } : {};
}
