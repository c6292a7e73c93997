import type { UpdateRequest } from "../../gen/cortex/users/v1/users_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { toUser, writeUser } from "../storage/users/user.js";
import * as check from "../validation/fields.js";
import { jsonObject } from "../validation/json.js";

export async function update(request: UpdateRequest, call: Call) {
  const { tenant } = call.caller;
  const id = check.userId(request.id, "id");
  const profile = jsonObject(request.profileJson, "profile_json");
  const user = await writeUser(call, {
    id,
    key: idempotencyKey(request.requestId, "Users/Update", [id, profile]),
    profile,
    write: (sql) => sql`
      update users u set profile = ${profile}::text::json, updated_at = ${now(sql)}
      where u.tenant = ${tenant} and u.id = ${id}
      returning *`,
  });
  if (!user) throw new CortexError("USER_NOT_FOUND", { user_id: id });
  return { user: toUser(user) };
}
