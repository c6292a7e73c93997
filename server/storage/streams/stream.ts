// Streams: how they are named in memory, and their row as a message. Statements name the table `stream` as `s`.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type {
  DeliveredSchema,
  EntrySchema,
  StreamInfoSchema,
} from "../../../gen/cortex/streams/v1/streams_pb.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import { idText } from "../../validation/stream-fields.js";

/** The stream's name in KeyLocks and on the bus. No namespace is empty, so it equals no other name. */
export const streamLockName = (tenant: string, stream: string): string =>
  `${tenant}\0\0\0\0\0\0\0${stream}`;

/** About how many bytes of entries a page has. */
export const pageBytesMax = 1024 * 1024;

export interface StreamRow {
  name: string;
  entries: string;
  bytes: string;
  first_ms: string | null;
  first_seq: string | null;
  last_ms: string;
  last_seq: string;
  created_at: Date;
}

/** The columns of a StreamRow, for `s`, with its first entry `f`. */
export const columns = (sql: Sql): Fragment =>
  sql`s.name, s.entries, s.bytes, f.ms as first_ms, f.seq as first_seq, s.last_ms, s.last_seq, s.created_at`;

export const joinFirst = (sql: Sql): Fragment => sql`
  left join lateral (
    select e.ms, e.seq from stream_entry e where e.stream_id = s.id order by e.ms, e.seq limit 1
  ) as f on true`;

export const toStreamInfo = (row: StreamRow): MessageInitShape<typeof StreamInfoSchema> => ({
  name: row.name,
  length: BigInt(row.entries),
  bytes: BigInt(row.bytes),
  ...(row.first_ms !== null && { firstId: `${row.first_ms}-${row.first_seq}` }),
  ...((row.last_ms !== "0" || row.last_seq !== "0") && {
    lastId: idText({ ms: row.last_ms, seq: row.last_seq }),
  }),
  createTime: timestampFromDate(row.created_at),
});

export interface EntryRow {
  ms: string;
  seq: string;
  data: string;
  user_id: string | null;
  agent_id: string | null;
}

export const toEntry = (row: EntryRow): MessageInitShape<typeof EntrySchema> => ({
  id: idText(row),
  dataJson: row.data,
  ...(row.user_id !== null && { userId: row.user_id }),
  ...(row.agent_id !== null && { appendedBy: row.agent_id }),
});

/** An entry that was delivered, with the number of the delivery, and how many there were. */
export const toDelivered = (
  row: EntryRow & { delivery: string; deliveries: number },
): MessageInitShape<typeof DeliveredSchema> => ({
  entry: toEntry(row),
  delivery: row.delivery,
  deliveries: row.deliveries,
});
