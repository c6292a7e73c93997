import type { UpdateRequest } from "../../gen/cortex/users/v1/users_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { now } from "../connection.js";
import { CortexError } from "../errors.js";
import { once, requestKey } from "../request.js";
import { type KeptUser, kept, toUser } from "./user.js";

export async function update(request: UpdateRequest, { tenant, run, quotas }: Call) {
  const id = check.userId(request.id, "id");
  const profile = check.jsonObject(request.profileJson, "profile_json");
  const key = requestKey(request.requestId, "Users/Update", [id, profile]);
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
