import type { CreateRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { idempotencyKey, once } from "../storage/idempotency.js";
import { type KeptUser, kept, toUser } from "../storage/users/user.js";
import * as check from "../validation/fields.js";

export async function create(request: CreateRequest, { tenant, run, quotas }: Call) {
  const id = check.userId(request.id, "id");
  const profile = check.jsonObject(request.profileJson ?? "{}", "profile_json");
  const key = idempotencyKey(request.requestId, "Users/Create", [id, request.profileJson]);
  const allow = () =>
    quotas.check(tenant, { keys: 0, bytes: Buffer.byteLength(profile), versions: 0 });
  const user = await once<KeptUser>(
    run,
    tenant,
    key,
    (sql) => ({
      steps: sql`u as (
        insert into users (tenant, id, profile, created_at, updated_at)
        select ${tenant}, ${id}, ${profile}::text::json, at, at from (select ${now(sql)} as at) as clock
        on conflict do nothing
        returning *)`,
      reply: kept(sql),
    }),
    allow,
  );
  if (!user) throw new CortexError("USER_EXISTS", { user_id: id });
  return { user: toUser(user) };
}
