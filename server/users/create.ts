import type { CreateRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { toUser, writeUser } from "../storage/users/user.js";
import * as check from "../validation/fields.js";
import { jsonObject } from "../validation/json.js";

export async function create(request: CreateRequest, call: Call) {
  const { tenant } = call.caller;
  const id = check.userId(request.id, "id");
  const profile = jsonObject(request.profileJson ?? "{}", "profile_json");
  const user = await writeUser(call, {
    id,
    key: idempotencyKey(request.requestId, "Users/Create", [id, request.profileJson]),
    profile,
    write: (sql) => sql`
      insert into users (tenant, id, profile, created_at, updated_at)
      select ${tenant}, ${id}, ${profile}::text::json, at, at from (select ${now(sql)} as at) as clock
      on conflict do nothing
      returning *`,
  });
  if (!user) throw new CortexError("USER_EXISTS", { user_id: id });
  return { user: toUser(user) };
}
