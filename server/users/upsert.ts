import type { UpsertRequest } from "../../gen/cortex/users/v1/users_pb.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { toUser, writeUser } from "../storage/users/user.js";
import * as check from "../validation/fields.js";
import { jsonObject } from "../validation/json.js";

export async function upsert(request: UpsertRequest, call: Call) {
  const { tenant } = call.caller;
  const id = check.userId(request.id, "id");
  const isGiven = request.profileJson !== undefined;
  const profile = jsonObject(request.profileJson ?? "{}", "profile_json");
  const user = await writeUser(call, {
    id,
    key: idempotencyKey(request.requestId, "Users/Upsert", [id, request.profileJson]),
    profile,
    write: (sql) => sql`
      insert into users as u (tenant, id, profile, created_at, updated_at)
      select ${tenant}, ${id}, ${profile}::text::json, at, at from (select ${now(sql)} as at) as clock
      on conflict (tenant, id) do update set
        profile = ${isGiven ? sql`excluded.profile` : sql`u.profile`},
        updated_at = ${isGiven ? now(sql) : sql`u.updated_at`}
      returning *`,
  });
  return { user: user && toUser(user) };
}
