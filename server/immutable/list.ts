// Pages by keyset, each chunk one statement that goes on after the last record, as in MutableStore's List.
import { type ListRequest, SortBy, SortOrder } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import type { Run } from "../postgres/connection.js";
import {
  type By,
  byTime,
  checkPosition,
  messages,
  type Sort,
  unknownSort,
} from "../storage/keyset.js";
import { pageToken, positionOf, type Query } from "../storage/page-token.js";
import {
  byLabels,
  checkFilter,
  type Matching,
  matches,
  queryOf,
} from "../storage/versions/filter.js";
import { listHistoryBytesMax, pastOf } from "../storage/versions/history.js";
import { columns, current, type RecordRow, size, toRecord } from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

const listBytesMax = 1024 * 1024;

interface Chunk extends RecordRow {
  found: string;
  total: string | null;
  position: string;
}

export async function* list(request: ListRequest, { tenant, bulk }: Call) {
  const matching = checkFilter(tenant, request.filter);
  const sort = sortOf(request);
  const query: Query = [...queryOf(matching), sort.name, `${sort.descending}`];
  const limit = check.limit(request.limit, 50);
  let skip = check.offset(request.offset, request.pageToken);
  let position = positionOf(request.pageToken, query, 3);
  checkPosition(sort, position);
  let counting = request.total ?? true;
  let total: bigint | undefined;
  let remaining = limit;

  for (let more = true; more && remaining > 0; skip = 0) {
    const page = { position, skip, limit: remaining + 1, counting };
    const rows = await chunk(bulk, matching, sort, page);
    if (counting) total = BigInt(rows[0]?.total ?? 0);
    counting = false;
    const found = Number(rows[0]?.found ?? 0);
    const records = rows.filter((row) => row.type !== null).slice(0, remaining);
    more = found > records.length;
    remaining -= records.length;
    for (const message of messages(records)) {
      const last = message.at(-1);
      const hasMore = more || last !== records.at(-1);
      position = last && [last.position, last.type, last.id];
      const past = request.includeHistory
        ? await pastOf(bulk, tenant, message, listHistoryBytesMax)
        : [];
      yield {
        records: message.map((row, i) => toRecord(row, past[i])),
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
  const [after, type = "", id = ""] = page.position ?? [];
  return run<Chunk>((sql) => {
    const direction = descending ? sql`desc` : sql`asc`;
    const beyond = descending ? sql`<` : sql`>`;
    const order = sql`${by ? sql`${by.column(sql)} ${direction}, ` : sql``} h.type ${direction}, h.id ${direction}`;
    const following = by
      ? sql`and (${by.column(sql)}, h.type, h.id) ${beyond} (${by.bound(sql, Number(after))}, ${type}, ${id})`
      : sql`and (h.type, h.id) ${beyond} (${type}, ${id})`;
    // By labels all that match are found first: to go by the order and look at each would read all records for a rare one.
    const first = byLabels(matching);
    const found = first
      ? sql`matched h where true`
      : sql`immutable h where ${matches(sql, matching)}`;
    return sql`
      with matched as materialized (
        select h.tenant, h.type, h.id, h.version, h.first_version, h.first_created_at, h.created_at
        from immutable h where ${first ? matches(sql, matching) : sql`false`}
      ), h as materialized (
        select h.tenant, h.type, h.id, h.version, h.first_version, h.first_created_at, h.created_at,
          ${by ? by.position(sql) : sql`0::bigint`} as position
        from ${found} ${page.position ? following : sql``}
        order by ${order} limit ${page.limit} offset ${page.skip}
      ), v as materialized (
        select h.type as of_type, h.id as of_id, h.first_version, h.first_created_at, h.position, v.*,
          row_number() over chunk as place, sum(${size(sql)}) over chunk - ${size(sql)} as bytes_before
        from h join immutable_version v on ${current(sql)}
        window chunk as (order by ${order} rows unbounded preceding)
      ), counted as (
        select (select count(*) from v) as found,
          ${page.counting ? sql`(select count(*) from ${found})` : sql`null::bigint`} as total
      )
      select counted.total, counted.found, v.of_type as type, v.of_id as id, v.position, v.first_version, v.first_created_at, ${columns(sql)}
      from counted left join v on v.bytes_before < ${listBytesMax}
      order by v.place`;
  });
}

function sortOf({ sortBy, sortOrder }: ListRequest): Sort {
  if (SortOrder[sortOrder] === undefined) throw unknownSort("sort_order", sortOrder);
  const descending = sortOrder !== SortOrder.ASC;
  switch (sortBy) {
    case SortBy.UNSPECIFIED:
    case SortBy.CREATE_TIME:
      return { name: "create_time", descending, by: byCreateTime };
    case SortBy.VERSION:
      return { name: "version", descending, by: byVersion };
    case SortBy.TYPE:
      return { name: "type", descending, by: undefined };
    default:
      throw unknownSort("sort_by", sortBy satisfies never);
  }
}

const byCreateTime = byTime((sql) => sql`h.created_at`);

const byVersion: By = {
  column: (sql) => sql`h.version`,
  position: (sql) => sql`h.version::bigint`,
  bound: (sql, version) => sql`${version}::int`,
  positionMax: 2 ** 31 - 1,
};
