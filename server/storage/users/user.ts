// A user: its row, its message.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { UserSchema } from "../../../gen/cortex/users/v1/users_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";

export interface UserRow {
  id: string;
  profile: string;
  created_at: Date;
  updated_at: Date;
}

/** A user in a reply that is kept: its times are milliseconds. */
export interface KeptUser {
  id: string;
  profile: string;
  created_at: number;
  updated_at: number;
}

export const columns = (sql: Sql): Fragment =>
  sql`u.id, u.profile::text as profile, u.created_at, u.updated_at`;

/** The row that a write returned as `u`, as a reply to keep. */
export const kept = (sql: Sql): Fragment => sql`
  select array[u.id] as user_ids, json_build_object(
    'id', u.id, 'profile', u.profile::text,
    'created_at', round(extract(epoch from u.created_at) * 1000),
    'updated_at', round(extract(epoch from u.updated_at) * 1000)) as reply
  from u`;

export function toUser(user: UserRow | KeptUser): MessageInitShape<typeof UserSchema> {
  return {
    id: user.id,
    profileJson: user.profile,
    createTime: timestampFromDate(new Date(user.created_at)),
    updateTime: timestampFromDate(new Date(user.updated_at)),
  };
}
