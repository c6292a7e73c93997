import type { RangeRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { byteWindow, inOrder, onePage, type PageRow, sizedRow } from "../storage/keyset.js";
import { pageToken, positionOf } from "../storage/page-token.js";
import { type EntryRow, pageBytesMax, toEntry } from "../storage/streams/stream.js";
import * as check from "../validation/fields.js";
import { entryId, highestId, idText, lowestId, stream } from "../validation/stream-fields.js";

export async function range(request: RangeRequest, { caller: { tenant }, db }: Call) {
  const { fromId, toId, reverse } = request;
  const name = stream(request.stream);
  const from = fromId === undefined ? { ms: 0, seq: 0 } : lowestId(fromId, "from_id");
  const to = highestId(toId ?? `${Number.MAX_SAFE_INTEGER}`, "to_id");
  const limit = check.limit(request.limit, 100);
  const query = ["Streams/Range", tenant, name, from, to, reverse];
  const { rows, hasMore, after } = await onePage<EntryRow & PageRow>({
    limit,
    after: positionOf(request.pageToken, query, 1),
    positionOf: (row) => [idText(row)],
    fetch: ({ after: [token] = [], limit }) => {
      const last = token === undefined ? undefined : entryId(token, "page_token");
      return db.scans((sql) => {
        const order = reverse ? sql`e.ms desc, e.seq desc` : sql`e.ms, e.seq`;
        const beyond = reverse ? sql`<` : sql`>`;
        return sql`
          with page as (
            select e.*, ${sizedRow(sql, sql`(e.bytes + 200)`)}
            from stream_entry e
            where e.stream_id = (select s.id from stream s where s.tenant = ${tenant} and s.name = ${name})
              and (e.ms, e.seq) >= (${`${from.ms}`}::bigint, ${`${from.seq}`}::bigint)
              and (e.ms, e.seq) <= (${`${to.ms}`}::bigint, ${`${to.seq}`}::bigint)
              ${last ? sql`and (e.ms, e.seq) ${beyond} (${`${last.ms}`}::bigint, ${`${last.seq}`}::bigint)` : sql``}
            ${inOrder(sql, order)} order by ${order} limit ${limit}
          ), e as (${byteWindow(sql, pageBytesMax)})
          select e.found, e.ms, e.seq, e.data::text, e.user_id, e.agent_id from e order by e.place`;
      });
    },
  });
  return {
    entries: rows.map(toEntry),
    nextPageToken: hasMore && after ? pageToken(query, after) : "",
  };
}
