import type { ListNamespacesRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import { live } from "../storage/entries/entry.js";
import { byteWindow, inOrder, onePage, type PageRow, sizedRow } from "../storage/keyset.js";
import { isIn, namesWithin } from "../storage/name-range.js";
import { pageToken, positionOf } from "../storage/page-token.js";
import { expiredEntries, usageOf } from "../storage/usage/usage.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

interface Row extends PageRow {
  namespace: string;
  keys: string;
  bytes: string;
}

export async function listNamespaces(request: ListNamespacesRequest, { caller, db, server }: Call) {
  const { tenant } = caller;
  const range = namesWithin(caller, request.prefix);
  const query = ["namespaces", tenant, range];
  const namespaces = server.usageIsKnown ? bySums : byRows;
  const { rows, hasMore, after } = await onePage<Row>({
    limit: check.limit(request.limit, 100),
    after: positionOf(request.pageToken, query, 1),
    positionOf: ({ namespace }) => [namespace],
    fetch: ({ after, limit }) =>
      db.scans((sql) => {
        const within = (name: Fragment) => sql`
          ${isIn(sql, name, range)}
          ${after === undefined ? sql`` : sql`and ${name} > ${after[0] ?? ""}`}`;
        return sql`
          with page as (
            select n.*, ${sizedRow(sql, sql`(octet_length(n.namespace) + 32)`)}
            from (${namespaces(sql, { tenant, within, limit })}) as n
            ${inOrder(sql, sql`n.namespace`)} order by n.namespace limit ${limit}
          )
          ${byteWindow(sql, pageBytesMax)} order by place`;
      }),
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

interface Page {
  tenant: string;
  /** The condition on a namespace that it is within the prefix, and after the page before. */
  within(namespace: Fragment): Fragment;
  limit: number;
}

// Both stop at the limit of the page, as they go in the order of an index.

/**
 * The namespaces with entries. Without any are at most those in which entries have expired or were deleted just
 * now, so that many more than the limit are looked at.
 */
const bySums = (sql: Sql, { tenant, within, limit }: Page): Fragment => sql`
  with expired as materialized (
    select e.namespace, count(*) as keys, sum(e.bytes) as bytes
    from (${expiredEntries(sql, sql`${tenant}`)}) as e group by e.namespace
  ), most as materialized (
    select ${limit}::int + (select count(*) from expired)
      + (select count(*) from usage_delta u where u.tenant = ${tenant} and u.kind = 'entry' and u.rows < 0) as names
  ), named as (
    (select u.space from usage u
      where u.tenant = ${tenant} and u.kind = 'entry' and u.space <> '' and ${within(sql`u.space`)}
      order by u.space limit (select names from most))
    union
    select u.space from usage_delta u where u.tenant = ${tenant} and u.kind = 'entry' and ${within(sql`u.space`)}
    order by space limit (select names from most)
  )
  select named.space as namespace, u.keys - coalesce(expired.keys, 0) as keys, u.bytes - coalesce(expired.bytes, 0) as bytes
  from named
  cross join lateral (
    select sum(u.rows) as keys, sum(u.bytes) as bytes
    from (${usageOf(sql, {
      kinds: ["entry"],
      tenant: () => sql`${tenant}`,
      spaces: () => sql`array[named.space]`,
    })}) as u
  ) as u
  left join expired on expired.namespace = named.space
  where u.keys > coalesce(expired.keys, 0)`;

const byRows = (sql: Sql, { tenant, within }: Page): Fragment => sql`
  select m.namespace, count(*) as keys, sum(m.bytes) as bytes
  from mutable m where m.tenant = ${tenant} and ${live(sql)} and ${within(sql`m.namespace`)}
  group by m.namespace`;
