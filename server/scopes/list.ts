import type { ListRequest } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import { onePage, type PageRow } from "../storage/keyset.js";
import { innerRange } from "../storage/name-range.js";
import { pageToken, positionOf } from "../storage/page-token.js";
import * as check from "../validation/fields.js";
import { pastChild } from "../validation/scope.js";

interface ScopeRow extends PageRow {
  key: string;
  identifier: string;
}

export async function list(request: ListRequest, { caller, db }: Call) {
  const { tenant } = caller;
  const limit = check.limit(request.limit, 100);
  const { low, high } = innerRange(caller);
  const query = ["Scopes/List", tenant, low];
  const first = (sql: Sql, from: Fragment) => firstIn(sql, tenant, from, sql`${high}`);
  const { rows, hasMore, after } = await onePage<ScopeRow>({
    limit,
    after: positionOf(request.pageToken, query, 2),
    positionOf: ({ key, identifier }) => [key, identifier],
    fetch: ({ after, limit }) => {
      const [key = "", identifier = ""] = after ?? [];
      const from = after ? pastChild(low, { key, identifier }) : low;
      // Each step goes to the first name after all names of the scope before.
      return db.scans(
        (sql) => sql`
          with recursive named as (
            select ${first(sql, sql`${from}`)} as name, 1 as place
            union all
            select ${first(sql, sql`(${low} || ${stepOf(sql, sql`named.name`, low)} || E'\\x03')`)}, place + 1
            from named where named.name is not null and place < ${limit}
          ), step as (
            select place, string_to_array(${stepOf(sql, sql`named.name`, low)}, E'\\x02') as parts
            from named where named.name is not null
          )
          select parts[1] as key, parts[2] as identifier, count(*) over () as found from step order by place`,
      );
    },
  });
  return {
    scopes: rows.map(({ key, identifier }) => ({ key, identifier })),
    nextPageToken: hasMore && after ? pageToken(query, after) : "",
  };
}

/** The key and the identifier of the first step of a name that begins with `below`, with a separator between. */
const stepOf = (sql: Sql, name: Fragment, below: string): Fragment =>
  sql`substring(substr(${name}, length(${below}) + 1) from E'^[^\\x01\\x02]*\\x02[^\\x01\\x02]*')`;

/** The first name in a range, of what is stored; null for none. */
const firstIn = (sql: Sql, tenant: string, low: Fragment, high: Fragment): Fragment => {
  const within = (name: Fragment) => sql`${name} >= ${low} and ${name} < ${high}`;
  return sql`least(
    (select m.namespace from mutable m where m.tenant = ${tenant} and ${within(sql`m.namespace`)} order by m.namespace limit 1),
    (select h.type from immutable h where h.tenant = ${tenant} and ${within(sql`h.type`)} order by h.type limit 1),
    (select c.name from claim c where c.tenant = ${tenant} and ${within(sql`c.name`)} order by c.name limit 1),
    (select s.name from stream s where s.tenant = ${tenant} and ${within(sql`s.name`)} order by s.name limit 1))`;
};
