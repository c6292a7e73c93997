// Delivering entries of groups to consumers, for Read and TakeOver, as a kind of the one write path (write-path.ts).
import type { Call } from "../../grpc/call.js";
import { notMade } from "../claims/admission.js";
import { type Outcome, WriteKind } from "../write-path.js";
import { type DeliverRow, statement } from "./deliver-statement.js";
import type { Delivered, DeliveredRow, DeliverWrite } from "./delivery.js";
import { groupNotFound } from "./group.js";

export const deliverWrites = new WriteKind<DeliverWrite, DeliverRow, Delivered>({
  statement,
  outcomes(writes, rows) {
    const own = writes.map((): DeliverRow[] => []);
    for (const row of rows) own[row.write]?.push(row);
    return writes.map((write, i) => outcomeOf(write, own[i] as DeliverRow[]));
  },
  parseReply: (reply, write, call) => stillHeld(reply, write, call),
  replyBytes: ({ rows }) => 64 * rows.length,
  addsExactly: false,
  added: ({ rows }) => ({ keys: 0, bytes: 0, versions: 0, pending: rows.length }),
});

function outcomeOf(write: DeliverWrite, rows: DeliverRow[]): Outcome<Delivered> {
  const [first] = rows as [DeliverRow, ...DeliverRow[]];
  const { refusal, visibility_seconds: visibilitySeconds, wait_ms } = first;
  switch (refusal) {
    case null:
      if (first.ms !== null) return { result: { rows: rows as DeliveredRow[], visibilitySeconds } };
      return {
        result: {
          rows: [],
          visibilitySeconds,
          waitMs: wait_ms ?? undefined,
          isFull: first.is_full ?? false,
        },
      };
    case "REPEATED":
    case "REQUEST_LOCKED":
    case "CLAIM_LOCKED":
    case "FENCE_STALE":
      return notMade(write, refusal, first);
    case "GROUP_LOCKED":
      return { lockedBy: write.keys[0] as string };
    case "GROUP_NOT_FOUND":
      return { refused: groupNotFound(write), index: 0 };
  }
}

/** What is still held of the deliveries that an earlier attempt of the request has stored. */
async function stillHeld(reply: string, write: DeliverWrite, { db }: Call): Promise<Delivered> {
  const { tenant, stream, group, consumer } = write;
  const { delivery, ids } = JSON.parse(reply) as { delivery: string; ids: [number, number][] };
  const rows = await db.short<DeliveredRow & { visibility_seconds: number }>(
    (sql) => sql`
      select g.visibility_seconds, p.ms, p.seq, p.delivery, p.deliveries, e.data::text, e.user_id, e.agent_id
      from stream s
      join stream_group g on g.stream_id = s.id and g.name = ${group}
      left join lateral (
        select p.*, asked.place
        from unnest(${ids.map(([ms]) => `${ms}`)}::bigint[], ${ids.map(([, seq]) => `${seq}`)}::bigint[]) with ordinality as asked (ms, seq, place)
        join stream_pending p on p.group_id = g.id and p.ms = asked.ms and p.seq = asked.seq
          and p.delivery = ${delivery}::bigint and p.consumer = ${consumer}
      ) as p on true
      left join stream_entry e on e.stream_id = s.id and e.ms = p.ms and e.seq = p.seq
      where s.tenant = ${tenant} and s.name = ${stream}
      order by p.place`,
  );
  const [first] = rows;
  if (!first) throw groupNotFound(write);
  return {
    rows: rows.filter(({ ms }) => ms !== null),
    visibilitySeconds: first.visibility_seconds,
  };
}
