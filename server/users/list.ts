import type { ListRequest } from "../../gen/cortex/users/v1/users_pb.js";
import type { Call } from "../grpc/call.js";
import type { Sql } from "../postgres/connection.js";
import { afterPrefix, pageToken, positionOf } from "../storage/page-token.js";
import { columns, toUser, type UserRow } from "../storage/users/user.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

export async function list(request: ListRequest, { tenant, bulk }: Call) {
  const { idPrefix } = request;
  if (idPrefix !== undefined) check.filterText(idPrefix, "id_prefix");
  const limit = check.limit(request.limit, 100);
  const offset = check.offset(request.offset, request.pageToken);
  const query = ["users", tenant, idPrefix];
  const [after] = positionOf(request.pageToken, query, 1) ?? [];
  const end = idPrefix === undefined ? undefined : afterPrefix(idPrefix);
  const matches = (sql: Sql) => sql`
    u.tenant = ${tenant}
    ${idPrefix === undefined ? sql`` : sql`and u.id >= ${idPrefix}`}
    ${end === undefined ? sql`` : sql`and u.id < ${end}`}`;
  const rows = await bulk<UserRow & { total: string }>(
    (sql) => sql`
      with u as materialized (
        select * from users u
        where ${matches(sql)} ${after === undefined ? sql`` : sql`and u.id > ${after}`}
        order by u.id limit ${limit + 1} offset ${offset}
      )
      select counted.total, ${columns(sql)}
      from (select count(*) as total from users u where ${matches(sql)}) as counted left join u on true
      order by u.id`,
  );
  const found = rows.filter((row) => row.id !== null);
  const page = fitting(found.slice(0, limit));
  const hasMore = found.length > page.length;
  const last = page.at(-1);
  return {
    users: page.map(toUser),
    total: BigInt(rows[0]?.total ?? 0),
    hasMore,
    nextPageToken: hasMore && last ? pageToken(query, [last.id]) : "",
  };
}

/** As many as fit one message: the first always does. */
function fitting(rows: UserRow[]): UserRow[] {
  let bytes = 0;
  const cut = rows.findIndex((row, i) => {
    bytes += Buffer.byteLength(row.profile);
    return i > 0 && bytes > pageBytesMax;
  });
  return cut < 0 ? rows : rows.slice(0, cut);
}
