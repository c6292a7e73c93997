import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { InfoRequest } from "../../gen/cortex/streams/v1/streams_pb.js";
import type { Call } from "../grpc/call.js";
import { groupNotFound } from "../storage/streams/group.js";
import { columns, joinFirst, type StreamRow, toStreamInfo } from "../storage/streams/stream.js";
import { group as groupName, stream } from "../validation/stream-fields.js";

interface GroupRow {
  name: string;
  after_ms: string;
  after_seq: string;
  lag: string;
  pending: string;
  dead: string;
  visibility_seconds: number;
  max_deliveries: number | null;
}

interface ConsumerRow {
  consumer: string;
  pending: string;
  delivered_at: Date;
}

const lagMax = 10_000;
const consumersMax = 1000;

export async function info(request: InfoRequest, { caller: { tenant }, db }: Call) {
  const name = stream(request.stream);
  const group = request.group === undefined ? undefined : groupName(request.group);
  const [found] = await db.short<StreamRow & { id: string }>(
    (sql) => sql`
      select s.id, ${columns(sql)} from stream s ${joinFirst(sql)} where s.tenant = ${tenant} and s.name = ${name}`,
  );
  if (!found && group !== undefined) throw groupNotFound({ tenant, stream: name, group });
  if (!found) return {};
  const groups = await db.scans<GroupRow>(
    (sql) => sql`
      select g.name, g.after_ms, g.after_seq, g.visibility_seconds, g.max_deliveries, p.pending, p.dead, (
          select count(*) from (
            select from stream_entry e where e.stream_id = g.stream_id and (e.ms, e.seq) > (g.after_ms, g.after_seq)
            order by e.ms, e.seq limit ${lagMax}::int
          ) as e
        ) as lag
      from stream_group g
      cross join lateral (
        select count(*) filter (where p.dead_at is null) as pending, count(p.dead_at) as dead from stream_pending p where p.group_id = g.id
      ) as p
      where g.stream_id = ${found.id} ${group === undefined ? sql`` : sql`and g.name = ${group}`}
      order by g.name`,
  );
  if (group !== undefined && groups.length === 0)
    throw groupNotFound({ tenant, stream: name, group });
  const consumers =
    group === undefined
      ? []
      : await db.scans<ConsumerRow>(
          (sql) => sql`
            select p.consumer, count(*) as pending, max(p.delivered_at) as delivered_at
            from stream_group g join stream_pending p on p.group_id = g.id
            where g.stream_id = ${found.id} and g.name = ${group} and p.consumer <> '' and p.dead_at is null
            group by p.consumer order by p.consumer limit ${consumersMax}::int`,
        );
  return {
    stream: toStreamInfo(found),
    groups: groups.map((row) => ({
      name: row.name,
      ...((row.after_ms !== "0" || row.after_seq !== "0") && {
        lastDeliveredId: `${row.after_ms}-${row.after_seq}`,
      }),
      lag: BigInt(row.lag),
      pending: BigInt(row.pending),
      deadLetters: BigInt(row.dead),
      visibilitySeconds: row.visibility_seconds,
      ...(row.max_deliveries !== null && { maxDeliveries: row.max_deliveries }),
      consumers: consumers.map(({ consumer, pending, delivered_at }) => ({
        name: consumer,
        pending: BigInt(pending),
        lastDeliveryTime: timestampFromDate(delivered_at),
      })),
    })),
  };
}
