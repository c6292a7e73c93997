import type { UpdateRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { idempotencyKey, once } from "../storage/idempotency.js";
import { type KeptUser, kept, toUser } from "../storage/users/user.js";
import * as check from "../validation/fields.js";

export async function update(request: UpdateRequest, { tenant, run, quotas }: Call) {
  const id = check.userId(request.id, "id");
  const profile = check.jsonObject(request.profileJson, "profile_json");
  const key = idempotencyKey(request.requestId, "Users/Update", [id, profile]);
  const allow = () =>
    quotas.check(tenant, { keys: 0, bytes: Buffer.byteLength(profile), versions: 0 });
  const user = await once<KeptUser>(
    run,
    tenant,
    key,
    (sql) => ({
      steps: sql`u as (
        update users u set profile = ${profile}::text::json, updated_at = ${now(sql)}
        where u.tenant = ${tenant} and u.id = ${id}
        returning *)`,
      reply: kept(sql),
    }),
    allow,
  );
  if (!user) throw new CortexError("USER_NOT_FOUND", { user_id: id });
  return { user: toUser(user) };
}
