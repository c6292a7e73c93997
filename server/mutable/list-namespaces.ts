import type { ListNamespacesRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { live } from "../storage/entries/entry.js";
import { byteWindow, inOrder, onePage, type PageRow, sizedRow } from "../storage/keyset.js";
import { afterPrefix, pageToken, positionOf } from "../storage/page-token.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

interface Row extends PageRow {
  namespace: string;
  keys: string;
  bytes: string;
}

export async function listNamespaces(request: ListNamespacesRequest, { caller, db }: Call) {
  const { tenant } = caller;
  const { prefix } = request;
  if (prefix !== undefined) check.filterText(prefix, "prefix");
  const query = ["namespaces", tenant, prefix];
  const end = prefix === undefined ? undefined : afterPrefix(prefix);
  const { rows, hasMore, after } = await onePage<Row>({
    limit: check.limit(request.limit, 100),
    after: positionOf(request.pageToken, query, 1),
    positionOf: ({ namespace }) => [namespace],
    // Grouped in the order of the primary key, so the statement stops at the limit.
    fetch: ({ after, limit }) =>
      db.scans(
        (sql) => sql`
          with page as (
            select m.namespace, count(*) as keys, sum(m.bytes) as bytes,
              ${sizedRow(sql, sql`(octet_length(m.namespace) + 32)`)}
            from mutable m
            where m.tenant = ${tenant} and ${live(sql)}
              ${prefix === undefined ? sql`` : sql`and m.namespace >= ${prefix}`}
              ${end === undefined ? sql`` : sql`and m.namespace < ${end}`}
              ${after === undefined ? sql`` : sql`and m.namespace > ${after[0] ?? ""}`}
            group by m.namespace ${inOrder(sql, sql`m.namespace`)} order by m.namespace limit ${limit}
          )
          ${byteWindow(sql, pageBytesMax)} order by place`,
      ),
  });
  return {
    namespaces: rows.map(({ namespace, keys, bytes }) => ({
      namespace,
      keys: BigInt(keys),
      bytes: BigInt(bytes),
    })),
    nextPageToken: hasMore && after ? pageToken(query, after) : "",
  };
}
