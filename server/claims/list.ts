import type { ListRequest } from "../../gen/cortex/claims/v1/claims_pb.js";
import type { Call } from "../grpc/call.js";
import { type ClaimRow, columns, toClaim } from "../storage/claims/claim.js";
import { byteWindow, inOrder, onePage, type PageRow, sizedRow } from "../storage/keyset.js";
import { isIn, namesWithin } from "../storage/name-range.js";
import { pageToken, positionOf } from "../storage/page-token.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

export async function list(request: ListRequest, { caller, db }: Call) {
  const { tenant } = caller;
  const limit = check.limit(request.limit, 100);
  const range = namesWithin(caller, request.prefix);
  const query = ["Claims/List", tenant, range];
  const { rows, hasMore, after } = await onePage<ClaimRow & PageRow>({
    limit,
    after: positionOf(request.pageToken, query, 1),
    positionOf: ({ name }) => [name],
    fetch: ({ after: [name = ""] = [], limit }) =>
      db.scans(
        (sql) => sql`
          with page as (
            select c.*, ${sizedRow(sql, sql`(c.bytes + octet_length(c.name) + octet_length(c.owner) + 200)`)}
            from claim c
            where c.tenant = ${tenant} and c.name > ${name} and c.expires_at > statement_timestamp()
              and ${isIn(sql, sql`c.name`, range)}
            ${inOrder(sql, sql`c.name`)} order by c.name limit ${limit}
          ), c as (${byteWindow(sql, pageBytesMax)})
          select c.found, ${columns(sql)} from c order by c.place`,
      ),
  });
  return {
    claims: rows.map(toClaim),
    nextPageToken: hasMore && after ? pageToken(query, after) : "",
  };
}
