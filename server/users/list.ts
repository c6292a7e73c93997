import type { ListRequest } from "../../gen/cortex/users/v1/users_pb.js";
import type { Call } from "../grpc/call.js";
import type { Sql } from "../postgres/connection.js";
import { byteWindow, inOrder, onePage, type PageRow, sizedRow } from "../storage/keyset.js";
import { afterPrefix, pageToken, positionOf } from "../storage/page-token.js";
import { columns, toUser, type UserRow } from "../storage/users/user.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

export async function list(request: ListRequest, { caller, db }: Call) {
  const { tenant } = caller;
  const { idPrefix } = request;
  if (idPrefix !== undefined) check.filterText(idPrefix, "id_prefix");
  const query = ["users", tenant, idPrefix];
  const end = idPrefix === undefined ? undefined : afterPrefix(idPrefix);
  const matches = (sql: Sql) => sql`
    u.tenant = ${tenant}
    ${idPrefix === undefined ? sql`` : sql`and u.id >= ${idPrefix}`}
    ${end === undefined ? sql`` : sql`and u.id < ${end}`}`;
  const { rows, hasMore, after, total } = await onePage<UserRow & PageRow>({
    limit: check.limit(request.limit, 100),
    skip: check.offset(request.offset, request.pageToken),
    after: positionOf(request.pageToken, query, 1),
    counting: true,
    positionOf: ({ id }) => [id],
    fetch: ({ after, skip, limit }) =>
      db.scans(
        (sql) => sql`
          with page as (
            select u.*, ${sizedRow(sql, sql`(octet_length(u.profile::text) + octet_length(u.id))`)} from users u
            where ${matches(sql)} ${after === undefined ? sql`` : sql`and u.id > ${after[0] ?? ""}`}
            ${inOrder(sql, sql`u.id`)} order by u.id limit ${limit} offset ${skip}
          ), u as (${byteWindow(sql, pageBytesMax)})
          select counted.total, u.found, ${columns(sql)}
          from (select count(*) as total from users u where ${matches(sql)}) as counted left join u on true
          order by u.place`,
      ),
  });
  return {
    users: rows.map(toUser),
    total: total ?? 0n,
    hasMore,
    nextPageToken: hasMore && after ? pageToken(query, after) : "",
  };
}
