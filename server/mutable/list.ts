import { type ListRequest, SortBy, SortOrder } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import type { Run } from "../postgres/connection.js";
import {
  columns,
  type EntryRow,
  joinAccess,
  toRecord,
  wireSize,
} from "../storage/entries/entry.js";
import {
  type EntryFilter,
  isFiltered,
  matches,
  parseFilter,
  selectsByKey,
} from "../storage/entries/filter.js";
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
import { entriesIn } from "../storage/usage/usage.js";
import * as check from "../validation/fields.js";

const pageBytesMax = 1024 * 1024;

interface Row extends EntryRow, PageRow {
  position: string;
}

export async function* list(request: ListRequest, { caller, db, server }: Call) {
  const filter = parseFilter(caller.tenant, request.namespace, request.filter);
  const sort = sortOf(request);
  const query = [filter, sort.name, sort.descending];
  const limit = check.limit(request.limit, 100);
  const skip = check.offset(request.offset, request.pageToken);
  const after = positionOf(request.pageToken, query, 2);
  checkPosition(sort, after);
  await server.access.settle(filter.tenant, filter.namespace);
  const countsBySum = server.usageIsKnown && !isFiltered(filter);
  const run = !sort.by && selectsByKey(filter) ? db.pages : db.scans;
  const messages = pages<Row>({
    limit,
    skip,
    after,
    counting: request.total ?? true,
    fetch: (window) => fetchPage(run, { filter, sort, window, countsBySum }),
    positionOf: ({ position, key }) => [position, key],
  });
  for await (const { rows, hasMore, after, total } of messages)
    yield {
      records: rows.map(toRecord),
      hasMore,
      nextPageToken: hasMore && after ? pageToken(query, after) : "",
      ...(total !== undefined && { total }),
    };
}

interface Page {
  filter: EntryFilter;
  sort: Sort;
  window: Window;
  /** True if the total is known without counting the entries. */
  countsBySum: boolean;
}

function fetchPage(run: Run, { filter, sort, window, countsBySum }: Page): Promise<Row[]> {
  const { by, descending } = sort;
  const { after, skip, limit, counting } = window;
  const [position = "", key = ""] = after ?? [];
  return run<Row>((sql) => {
    const direction = descending ? sql`desc` : sql`asc`;
    const beyond = descending ? sql`<` : sql`>`;
    const order = by
      ? sql`${by.column(sql)} ${direction}, m.key ${direction}`
      : sql`m.key ${direction}`;
    const following = by
      ? sql`and (${by.column(sql)}, m.key) ${beyond} (${by.bound(sql, Number(position))}, ${key})`
      : sql`and m.key ${beyond} ${key}`;
    const total = () =>
      countsBySum
        ? entriesIn(sql, filter)
        : sql`(select count(*) from mutable m where ${matches(sql, filter)})`;
    return sql`
      with page as (
        select m.*, ${by ? by.position(sql) : sql`0::bigint`} as position, ${sizedRow(sql, wireSize(sql))}
        from mutable m ${by ? joinAccess(sql) : sql``}
        where ${matches(sql, filter)} ${after ? following : sql``}
        ${inOrder(sql, order)}
        order by ${order} limit ${limit} offset ${skip}
      ), m as (${byteWindow(sql, pageBytesMax)})
      select counted.total, m.found, m.position, ${columns(sql)}
      from (
        select ${counting ? total() : sql`null::bigint`} as total
      ) as counted left join m on true ${joinAccess(sql)}
      order by m.place`;
  });
}

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

const byAccessCount: SortColumn = {
  column: (sql) => sql`coalesce(a.count, 0)`,
  position: (sql) => sql`coalesce(a.count, 0)`,
  bound: (sql, count) => sql`${count}::bigint`,
  positionMax: Number.MAX_SAFE_INTEGER,
};
