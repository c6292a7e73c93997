import { type ListRequest, SortBy, SortOrder } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import type { Run } from "../postgres/connection.js";
import {
  byTime,
  byteWindow,
  checkPosition,
  inOrder,
  type PageRow,
  pages,
  type Sort,
  type SortColumn,
  sizedRow,
  unknownSort,
  type Window,
} from "../storage/keyset.js";
import { pageToken, positionOf } from "../storage/page-token.js";
import { recordsOf } from "../storage/usage/usage.js";
import {
  filtersMetadata,
  filtersOnlyTypes,
  matches,
  parseFilter,
  type RecordFilter,
} from "../storage/versions/filter.js";
import { listHistoryBytesMax, previousVersions } from "../storage/versions/history.js";
import {
  columns,
  current,
  type RecordRow,
  toRecord,
  wireSize,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

interface Row extends RecordRow, PageRow {
  position: string;
}

export async function* list(request: ListRequest, { caller, db, server }: Call) {
  const { tenant } = caller;
  const filter = parseFilter(caller, request.filter);
  const sort = sortOf(request);
  const query = [filter, sort.name, sort.descending];
  const limit = check.limit(request.limit, 50);
  const skip = check.offset(request.offset, request.pageToken);
  const after = positionOf(request.pageToken, query, 3);
  checkPosition(sort, after);
  const { hasFormerRecords } = server;
  const countsBySum = server.usageIsKnown && filtersOnlyTypes(filter);
  const messages = pages<Row>({
    limit,
    skip,
    after,
    counting: request.total ?? true,
    fetch: (window) => fetchPage(db.scans, { filter, hasFormerRecords, sort, window, countsBySum }),
    positionOf: ({ position, type, id }) => [position, type, id],
  });
  for await (const { rows, hasMore, after, total } of messages) {
    const previous = request.includeHistory
      ? await previousVersions(db.scans, tenant, rows, listHistoryBytesMax)
      : [];
    yield {
      records: rows.map((row, i) => toRecord(row, previous[i])),
      hasMore,
      nextPageToken: hasMore && after ? pageToken(query, after) : "",
      ...(total !== undefined && { total }),
    };
  }
}

interface Page {
  filter: RecordFilter;
  hasFormerRecords: boolean;
  sort: Sort;
  window: Window;
  /** True if the total is known without counting the records. */
  countsBySum: boolean;
}

function fetchPage(
  run: Run,
  { filter, hasFormerRecords, sort, window, countsBySum }: Page,
): Promise<Row[]> {
  const { by, descending } = sort;
  const { after, skip, limit, counting } = window;
  const [position = "", type = "", id = ""] = after ?? [];
  return run<Row>((sql) => {
    const direction = descending ? sql`desc` : sql`asc`;
    const beyond = descending ? sql`<` : sql`>`;
    const order = sql`${by ? sql`${by.column(sql)} ${direction}, ` : sql``} h.type ${direction}, h.id ${direction}`;
    const following = by
      ? sql`and (${by.column(sql)}, h.type, h.id) ${beyond} (${by.bound(sql, Number(position))}, ${type}, ${id})`
      : sql`and (h.type, h.id) ${beyond} (${type}, ${id})`;
    // With a filter by metadata, all records that match are found first, and then sorted. To read the records
    // in order and test each would read nearly all of them to find a rare match.
    const matchFirst = filtersMetadata(filter);
    const matching = matchFirst
      ? sql`matched h where true`
      : sql`immutable h where ${matches(sql, filter, hasFormerRecords)}`;
    const total = () =>
      countsBySum ? recordsOf(sql, filter) : sql`(select count(*) from ${matching})`;
    return sql`
      with matched as materialized (
        select h.tenant, h.type, h.id, h.version, h.first_version, h.first_created_at, h.created_at
        from immutable h where ${matchFirst ? matches(sql, filter, hasFormerRecords) : sql`false`}
      ), h as materialized (
        select h.tenant, h.type, h.id, h.version, h.first_version, h.first_created_at, h.created_at,
          ${by ? by.position(sql) : sql`0::bigint`} as position
        from ${matching} ${after ? following : sql``}
        order by ${order} limit ${limit} offset ${skip}
      ), page as (
        select h.first_version, h.first_created_at, h.position, v.*, ${sizedRow(sql, wireSize(sql))}
        from h join immutable_version v on ${current(sql)}
        ${inOrder(sql, order)}
      ), v as (${byteWindow(sql, pageBytesMax)})
      select counted.total, v.found, v.type, v.id, v.position, v.first_version, v.first_created_at, ${columns(sql)}
      from (
        select ${counting ? total() : sql`null::bigint`} as total
      ) as counted left join v on true
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

const byVersion: SortColumn = {
  column: (sql) => sql`h.version`,
  position: (sql) => sql`h.version::bigint`,
  bound: (sql, version) => sql`${version}::int`,
  positionMax: 2 ** 31 - 1,
};
