import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DeliveryEnd, type PendingRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { byteWindow, inOrder, onePage, type PageRow, sizedRow } from "../storage/keyset.js";
import { pageToken, positionOf } from "../storage/page-token.js";
import { groupNotFound, parseGroup } from "../storage/streams/group.js";
import { type EntryRow, pageBytesMax, toEntry } from "../storage/streams/stream.js";
import * as check from "../validation/fields.js";
import { entryId, idText } from "../validation/stream-fields.js";

interface PendingRow extends EntryRow, PageRow {
  consumer: string;
  delivery: string;
  deliveries: number;
  delivered_at: Date;
  visible_at: Date;
  dead_at: Date | null;
  history: string;
}

/** A delivery that has ended, as the history of an entry has it. */
interface PastDelivery {
  consumer: string;
  /** When it was delivered, in milliseconds. */
  at: number;
  end: "timed out" | "given back" | "taken over" | "consumer removed";
  reason?: string;
}

const ends = {
  "timed out": DeliveryEnd.TIMED_OUT,
  "given back": DeliveryEnd.GIVEN_BACK,
  "taken over": DeliveryEnd.TAKEN_OVER,
  "consumer removed": DeliveryEnd.CONSUMER_REMOVED,
};

export async function pending(request: PendingRequest, call: Call) {
  const { db } = call;
  const { consumer, deadLetters } = request;
  const named = parseGroup(call, request);
  const { tenant, stream, group } = named;
  if (consumer !== undefined) check.filterText(consumer, "consumer");
  if (consumer !== undefined && deadLetters)
    throw new CortexError("INVALID_FILTER", {
      field: "consumer",
      problem: "cannot go together with dead_letters, which nobody holds",
    });
  const limit = check.limit(request.limit, 100);
  const query = ["Streams/Pending", tenant, stream, group, consumer, deadLetters];
  const position = positionOf(request.pageToken, query, 1);
  const [found] = await db.short<{ id: string; stream_id: string }>(
    (sql) => sql`
      select g.id, g.stream_id from stream s join stream_group g on g.stream_id = s.id and g.name = ${group}
      where s.tenant = ${tenant} and s.name = ${stream}`,
  );
  if (!found) throw groupNotFound(named);
  const { rows, hasMore, after } = await onePage<PendingRow>({
    limit,
    after: position,
    positionOf: (row) => [idText(row)],
    fetch: ({ after: [token = "0-0"] = [], limit }) => {
      const last = entryId(token, "page_token");
      return db.scans(
        (sql) => sql`
          with page as (
            select p.*, e.data, e.user_id, e.agent_id, ${sizedRow(sql, sql`(e.bytes + octet_length(p.history::text) + 300)`)}
            from stream_pending p join stream_entry e on e.stream_id = ${found.stream_id} and e.ms = p.ms and e.seq = p.seq
            where p.group_id = ${found.id} and (p.ms, p.seq) > (${`${last.ms}`}::bigint, ${`${last.seq}`}::bigint)
              and ${deadLetters ? sql`p.dead_at is not null` : sql`p.dead_at is null`}
              ${consumer === undefined ? sql`` : sql`and p.consumer = ${consumer}`}
            ${inOrder(sql, sql`p.ms, p.seq`)} order by p.ms, p.seq limit ${limit}
          ), p as (${byteWindow(sql, pageBytesMax)})
          select p.found, p.ms, p.seq, p.data::text, p.user_id, p.agent_id, p.consumer, p.delivery, p.deliveries, p.delivered_at, p.visible_at, p.dead_at,
            p.history::text
          from p order by p.place`,
      );
    },
  });
  return {
    entries: rows.map(toPendingEntry),
    nextPageToken: hasMore && after ? pageToken(query, after) : "",
  };
}

function toPendingEntry(row: PendingRow) {
  const history = JSON.parse(row.history) as PastDelivery[];
  return {
    entry: toEntry(row),
    consumer: row.consumer || (history.at(-1)?.consumer ?? ""),
    delivery: row.delivery,
    deliveries: row.deliveries,
    deliveryTime: timestampFromDate(row.delivered_at),
    ...(row.dead_at === null
      ? { visibleTime: timestampFromDate(row.visible_at) }
      : { deadTime: timestampFromDate(row.dead_at) }),
    history: history.map(({ consumer, at, end, reason }) => ({
      consumer,
      deliveryTime: timestampFromMs(at),
      end: ends[end],
      ...(reason !== undefined && { reason }),
    })),
  };
}
