import type { UpsertRequest } from "../../gen/cortex/users/v1/users_pb.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { idempotencyKey, once } from "../storage/idempotency.js";
import { type KeptUser, kept, toUser } from "../storage/users/user.js";
import * as check from "../validation/fields.js";

export async function upsert(request: UpsertRequest, { tenant, run, quotas }: Call) {
  const id = check.userId(request.id, "id");
  const given = request.profileJson !== undefined;
  const profile = check.jsonObject(request.profileJson ?? "{}", "profile_json");
  const key = idempotencyKey(request.requestId, "Users/Upsert", [id, request.profileJson]);
  const allow = () =>
    quotas.check(tenant, { keys: 0, bytes: Buffer.byteLength(profile), versions: 0 });
  const user = await once<KeptUser>(
    run,
    tenant,
    key,
    (sql) => ({
      steps: sql`u as (
        insert into users as u (tenant, id, profile, created_at, updated_at)
        select ${tenant}, ${id}, ${profile}::text::json, at, at from (select ${now(sql)} as at) as clock
        on conflict (tenant, id) do update set
          profile = ${given ? sql`excluded.profile` : sql`u.profile`},
          updated_at = ${given ? now(sql) : sql`u.updated_at`}
        returning *)`,
      reply: kept(sql),
    }),
    allow,
  );
  return { user: user && toUser(user) };
}
