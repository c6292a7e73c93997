// A user: its row, its message.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { UserSchema } from "../../gen/cortex/users/v1/users_pb.js";
import type { Fragment, Sql } from "../database.js";

export interface UserRow {
  id: string;
  profile: string;
  created_at: Date;
  updated_at: Date;
}

export const columns = (sql: Sql): Fragment =>
  sql`u.id, u.profile::text as profile, u.created_at, u.updated_at`;

export function toUser(row: UserRow): MessageInitShape<typeof UserSchema> {
  return {
    id: row.id,
    profileJson: row.profile,
    createTime: timestampFromDate(row.created_at),
    updateTime: timestampFromDate(row.updated_at),
  };
}
