// Pages by keyset. Nothing is held between two messages: each chunk is one statement that goes on after the last record, so a
// reader that stalls holds no connection. A chunk is what the limit still allows, cut where its records pass listBytesMax.
import { type ListRequest, SortBy, SortOrder } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Run, Sql } from "../postgres/connection.js";
import { columns, joinAccess, type Row, toRecord } from "../storage/entries/entry.js";
import { checkFilter, type Matching, matches, queryOf } from "../storage/entries/filter.js";
import {
  type By,
  byTime,
  checkPosition,
  messages,
  type Sort,
  unknownSort,
} from "../storage/keyset.js";
import { pageToken, positionOf, type Query } from "../storage/page-token.js";
import * as check from "../validation/fields.js";

const listBytesMax = 1024 * 1024;

interface Chunk extends Row {
  found: string;
  total: string | null;
  position: string | null;
}

export async function* list(request: ListRequest, { tenant, bulk, access }: Call) {
  const matching = checkFilter(tenant, request.namespace, request.filter);
  const sort = sortOf(request);
  const query: Query = [...queryOf(matching), sort.name, `${sort.descending}`];
  const limit = check.limit(request.limit, 100);
  let skip = check.offset(request.offset, request.pageToken);
  let position = positionOf(request.pageToken, query, 2);
  checkPosition(sort, position);
  let counting = request.total ?? true;
  let total: bigint | undefined;
  let remaining = limit;

  await access.settle(tenant, matching.namespace);
  for (let more = true; more && remaining > 0; skip = 0) {
    const rows = await chunk(bulk, matching, sort, {
      position,
      skip,
      limit: remaining + 1,
      counting,
    });
    if (counting) total = BigInt(rows[0]?.total ?? 0);
    counting = false;
    const found = Number(rows[0]?.found ?? 0);
    const records = rows.filter((row) => row.key !== null).slice(0, remaining);
    more = found > records.length;
    remaining -= records.length;
    for (const message of messages(records)) {
      const last = message.at(-1);
      const hasMore = more || last !== records.at(-1);
      position = last && [last.position ?? "", last.key];
      yield {
        records: message.map(toRecord),
        hasMore,
        nextPageToken: hasMore && position ? pageToken(query, position) : "",
        ...(total !== undefined && { total }),
      };
    }
  }
}

function chunk(
  run: Run,
  matching: Matching,
  { by, descending }: Sort,
  page: { position: string[] | undefined; skip: number; limit: number; counting: boolean },
): Promise<Chunk[]> {
  const [after, key = ""] = page.position ?? [];
  return run<Chunk>((sql) => {
    const direction = descending ? sql`desc` : sql`asc`;
    const beyond = descending ? sql`<` : sql`>`;
    const order = by
      ? sql`${by.column(sql)} ${direction}, m.key ${direction}`
      : sql`m.key ${direction}`;
    const following = by
      ? sql`and (${by.column(sql)}, m.key) ${beyond} (${by.bound(sql, Number(after))}, ${key})`
      : sql`and m.key ${beyond} ${key}`;
    return sql`
      with m as materialized (
        select m.*, ${by ? by.position(sql) : sql`0::bigint`} as position,
          row_number() over chunk as place, sum(${size(sql)}) over chunk - ${size(sql)} as bytes_before
        from mutable m ${by ? joinAccess(sql) : sql``}
        where ${matches(sql, matching)} ${page.position ? following : sql``}
        window chunk as (order by ${order} rows unbounded preceding)
        order by ${order} limit ${page.limit} offset ${page.skip}
      ), counted as (
        select (select count(*) from m) as found, (select min(bytes_before) from m) as bytes_skipped,
          ${page.counting ? sql`(select count(*) from mutable m where ${matches(sql, matching)})` : sql`null::bigint`} as total
      )
      select counted.total, counted.found, m.position, ${columns(sql)}
      from counted left join m on m.bytes_before - counted.bytes_skipped < ${listBytesMax}
      ${joinAccess(sql)}
      order by m.place`;
  });
}

/** About what a record takes on the wire. */
const size = (sql: Sql): Fragment =>
  sql`(m.bytes + octet_length(m.metadata::text) + octet_length(m.key) + 200)`;

function sortOf({ sortBy, sortOrder }: ListRequest): Sort {
  if (SortOrder[sortOrder] === undefined) throw unknownSort("sort_order", sortOrder);
  const descending = sortOrder === SortOrder.DESC;
  switch (sortBy) {
    case SortBy.UNSPECIFIED:
    case SortBy.KEY:
      return { name: "key", descending, by: undefined };
    case SortBy.UPDATE_TIME:
      return { name: "update_time", descending, by: byUpdateTime };
    case SortBy.ACCESS_COUNT:
      return { name: "access_count", descending, by: byAccessCount };
    default:
      throw unknownSort("sort_by", sortBy satisfies never);
  }
}

const byUpdateTime = byTime((sql) => sql`m.updated_at`);

const byAccessCount: By = {
  column: (sql) => sql`coalesce(a.count, 0)`,
  position: (sql) => sql`coalesce(a.count, 0)`,
  bound: (sql, count) => sql`${count}::bigint`,
  positionMax: Number.MAX_SAFE_INTEGER,
};
