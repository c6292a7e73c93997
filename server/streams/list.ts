import type { ListRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { byteWindow, inOrder, onePage, type PageRow, sizedRow } from "../storage/keyset.js";
import { isIn, namesWithin } from "../storage/name-range.js";
import { pageToken, positionOf } from "../storage/page-token.js";
import {
  columns,
  joinFirst,
  pageBytesMax,
  type StreamRow,
  toStreamInfo,
} from "../storage/streams/stream.js";
import * as check from "../validation/fields.js";

export async function list(request: ListRequest, { caller, db }: Call) {
  const { tenant } = caller;
  const limit = check.limit(request.limit, 100);
  const range = namesWithin(caller, request.prefix);
  const query = ["Streams/List", tenant, range];
  const { rows, hasMore, after } = await onePage<StreamRow & PageRow>({
    limit,
    after: positionOf(request.pageToken, query, 1),
    positionOf: ({ name }) => [name],
    fetch: ({ after: [name = ""] = [], limit }) =>
      db.scans(
        (sql) => sql`
          with page as (
            select s.*, ${sizedRow(sql, sql`(octet_length(s.name) + 200)`)}
            from stream s
            where s.tenant = ${tenant} and s.name > ${name}
              and ${isIn(sql, sql`s.name`, range)}
            ${inOrder(sql, sql`s.name`)} order by s.name limit ${limit}
          ), s as (${byteWindow(sql, pageBytesMax)})
          select s.found, ${columns(sql)} from s ${joinFirst(sql)} order by s.place`,
      ),
  });
  return {
    streams: rows.map(toStreamInfo),
    nextPageToken: hasMore && after ? pageToken(query, after) : "",
  };
}
