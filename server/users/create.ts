import type { CreateRequest } from "../../gen/cortex/users/v1/users_pb.js";
import * as check from "../checks.js";
import { now } from "../database.js";
import { CortexError } from "../errors.js";
import type { Call } from "../rpc.js";
import { columns, toUser, type UserRow } from "./user.js";

export async function create(request: CreateRequest, { tenant, run }: Call) {
  const id = check.userId(request.id, "id");
  const profile = check.jsonObject(request.profileJson ?? "{}", "profile_json");
  const [row] = await run<UserRow>(
    (sql) => sql`
      insert into users as u (tenant, id, profile, created_at, updated_at)
      select ${tenant}, ${id}, ${profile}::text::json, at, at from (select ${now(sql)} as at) as clock
      on conflict do nothing
      returning ${columns(sql)}`,
  );
  if (!row) throw new CortexError("USER_EXISTS", { user_id: id });
  return { user: toUser(row) };
}
