import type { GetRequest } from "../../gen/cortex/users/v1/users_pb.js";
import type { Call } from "../grpc/call.js";
import { columns, toUser, type UserRow } from "../storage/users/user.js";
import * as check from "../validation/fields.js";

export async function get(request: GetRequest, { caller: { tenant }, db }: Call) {
  const id = check.userId(request.id, "id");
  const [row] = await db.short<UserRow>(
    (sql) => sql`select ${columns(sql)} from users u where u.tenant = ${tenant} and u.id = ${id}`,
  );
  return row ? { user: toUser(row) } : {};
}
