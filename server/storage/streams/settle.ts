// Ends or changes deliveries (Ack, Nack, Extend, Retry, RemoveConsumer), as a kind of the one write path (write-path.ts).
// The steps of the statement:
//   guard         locks the claims that guard the writes
//   asked         the writes: locks their request ids, and looks for stored replies
//   admitted      why a write is refused before its entries are looked at, if it is
//   found         locks the pending entries of the others
//   judged        why a write is refused, if it is
//   deleted       deletes the pending entries that are acknowledged
//   changed       changes the others
//   stored_reply  stores the replies of the writes that have a request id
import type { Fragment, Sql } from "../../postgres/connection.js";
import { recordset } from "../../postgres/recordset.js";
import type { EntryId } from "../../validation/stream-fields.js";
import {
  type CommonRefusal,
  commonRefusals,
  notMade,
  replyColumn,
  requestColumns,
  type StoredBefore,
} from "../claims/admission.js";
import { type Guard, guards } from "../claims/guard.js";
import type { IdempotencyKey } from "../idempotency.js";
import { requestLockName } from "../locks.js";
import { type Outcome, type StatementMode, type Write, WriteKind } from "../write-path.js";
import { type Group, groupLockName, groupNotFound } from "./group.js";

/** What is done with deliveries. */
export type Action =
  | { kind: "ack" | "extend" | "retry" }
  | { kind: "nack"; delaySeconds: number; reason: string | undefined; isUncounted: boolean }
  /** With all deliveries of a consumer. */
  | { kind: "remove"; consumer: string };

export interface SettleWrite extends Write, Group {
  action: Action;
  deliveries: (EntryId & { delivery?: string | undefined })[];
}

export function settleWrite(
  group: Group,
  action: Action,
  deliveries: SettleWrite["deliveries"],
  { key, guard }: { key?: IdempotencyKey | undefined; guard?: Guard | undefined } = {},
): SettleWrite {
  const { tenant } = group;
  const name = groupLockName(group);
  // Of one entry, one write at a time: a statement could not do both.
  const conflictKeys = deliveries.map(({ ms, seq }) => ({
    name: `${name}\0${ms}-${seq}`,
    batchable: false,
  }));
  if (key) conflictKeys.push({ name: requestLockName(tenant, key.id), batchable: false });
  return {
    ...group,
    action,
    deliveries,
    idempotencyKey: key,
    guard,
    keys: [`${name}\0`], // apart from that of who delivers: entries are locked here, not the group
    conflictKeys,
    weight: action.kind === "remove" ? weightAlone : deliveries.length,
    adds: { keys: 0, bytes: 0, versions: 0, pending: 0 },
  };
}

const weightAlone = 1000; // a consumer may hold many

/** What a write has done. */
export interface Settled {
  /** How many deliveries it was. */
  count: number;
  /** How many entries became dead letters. */
  dead: number;
  /** The deliveries that are extended. */
  held: { ms: number; seq: number; delivery: string }[];
}

const writeRows = recordset("asked", {
  write: "int",
  tenant: "text",
  stream: "text",
  consumer_group: "text",
  action: "text",
  delay: "float8",
  reason: "text",
  uncounted: "boolean",
  consumer: "text",
  request: "text",
  fingerprint: "text",
});

const deliveryRows = recordset("named", {
  write: "int",
  ms: "bigint",
  seq: "bigint",
  delivery: "bigint",
});

/** A row of the statement's answer: one for each write. */
interface SettleRow extends StoredBefore {
  refusal: CommonRefusal | "GROUP_NOT_FOUND" | "ENTRY_LOCKED" | null;
  count: number;
  dead: number;
  held: string | null;
}

export const settleWrites = new WriteKind<SettleWrite, SettleRow, Settled>({
  statement,
  outcomes: (writes, rows) => writes.map((write, i) => outcomeOf(write, rows[i] as SettleRow)),
  parseReply: async (reply) => ({ ...(JSON.parse(reply) as Settled), held: [] }),
  replyBytes: () => 32,
  addsExactly: true,
});

function outcomeOf(write: SettleWrite, row: SettleRow): Outcome<Settled> {
  const { refusal, count, dead, held } = row;
  switch (refusal) {
    case null:
      return { result: { count, dead, held: JSON.parse(held ?? "[]") } };
    case "REPEATED":
    case "REQUEST_LOCKED":
    case "CLAIM_LOCKED":
    case "FENCE_STALE":
      return notMade(write, refusal, row);
    case "ENTRY_LOCKED":
      return { lockedBy: write.keys[0] as string };
    case "GROUP_NOT_FOUND":
      return { refused: groupNotFound(write), index: 0 };
  }
}

function statement(
  sql: Sql,
  writes: SettleWrite[],
  { locking }: Pick<StatementMode, "locking">,
): Fragment {
  const asked = writes.map(({ tenant, stream, group, action, idempotencyKey }, write) => ({
    write,
    tenant,
    stream,
    consumer_group: group,
    action: action.kind,
    delay: action.kind === "nack" ? action.delaySeconds : 0,
    reason: action.kind === "nack" ? action.reason : undefined,
    uncounted: action.kind === "nack" && action.isUncounted,
    consumer: action.kind === "remove" ? action.consumer : undefined,
    request: idempotencyKey?.id,
    fingerprint: idempotencyKey?.fingerprint,
  }));
  const named = writes.flatMap(({ deliveries }, write) =>
    deliveries.map(({ ms, seq, delivery }) => ({ write, ms: `${ms}`, seq: `${seq}`, delivery })),
  );
  const tries = locking === "try";
  const skipLocked = () => (tries ? sql`skip locked` : sql``);
  const hasGuards = writes.some(({ guard }) => guard);
  const hasRequests = writes.some(({ idempotencyKey }) => idempotencyKey);
  const changes = writes.some(({ action }) => action.kind !== "ack");
  const removes = writes.some(({ action }) => action.kind === "remove");
  const now = sql`date_trunc('milliseconds', clock_timestamp())`;
  return sql`
    with ${hasGuards ? sql`guard as materialized (${guards(sql, writes, tries)}),` : sql``}
    asked as materialized (
      select asked.*, g.id as group_id, g.visibility_seconds, g.max_deliveries, ${requestColumns(sql, { hasRequests }, locking)}
      from ${writeRows(sql, asked)} ${hasGuards ? sql`join (select count(*) from guard) as guarded on true` : sql``}
      left join lateral (
        select s.id from stream s where s.tenant = asked.tenant and s.name = asked.stream offset 0
      ) as s on true
      left join lateral (
        select g.id, g.visibility_seconds, g.max_deliveries from stream_group g where g.stream_id = s.id and g.name = asked.consumer_group offset 0
      ) as g on true
    ), admitted as materialized (
      select a.*, case
          ${commonRefusals(sql, { hasGuards }, sql`a`)}
          when a.group_id is null then 'GROUP_NOT_FOUND'
        end as refusal
      from asked a
    ), found as materialized (
      select distinct on (write, ms, seq) * from (
        select a.write, a.action, a.group_id, named.ms, named.seq, held.ms is not null as held,
          held.ms is null and exists (select from stream_pending p where p.group_id = a.group_id and ${isNamed(sql)}) as locked
        from admitted a join ${deliveryRows(sql, named)} on named.write = a.write
        left join lateral (
          select p.ms from stream_pending p where p.group_id = a.group_id and ${isNamed(sql)} for update ${skipLocked()}
        ) as held on true
        where a.refusal is null
        ${
          removes
            ? sql`union all
              select a.write, a.action, a.group_id, p.ms, p.seq, held.ms is not null, held.ms is null
              from admitted a join stream_pending p on p.group_id = a.group_id and p.consumer = a.consumer and p.dead_at is null
              left join lateral (
                select h.ms from stream_pending h
                where h.group_id = p.group_id and h.ms = p.ms and h.seq = p.seq and h.consumer = a.consumer and h.dead_at is null for update ${skipLocked()}
              ) as held on true
              where a.refusal is null and a.action = 'remove'`
            : sql``
        }
      ) as f
      order by write, ms, seq, held desc
    ), judged as materialized (
      select a.*, coalesce(a.refusal,
        case when exists (select from found f where f.write = a.write and f.locked) then 'ENTRY_LOCKED' end) as final_refusal
      from admitted a
    ), done as materialized (
      select f.write, f.action, f.group_id, f.ms, f.seq from found f join judged j on j.write = f.write and j.final_refusal is null where f.held
    ), deleted as (
      delete from stream_pending p using done d
      where d.action = 'ack' and p.group_id = d.group_id and p.ms = d.ms and p.seq = d.seq
    )
    ${
      changes
        ? sql`, changed as (
            update stream_pending p set
              consumer = case when d.action = 'extend' then p.consumer else '' end,
              visible_at = ${now} + case d.action when 'extend' then j.visibility_seconds when 'nack' then j.delay else 0 end * interval '1 second',
              deliveries = case when d.action = 'retry' then 0 when j.uncounted then p.deliveries - 1 else p.deliveries end,
              dead_at = case when d.action = 'nack' and not j.uncounted and p.deliveries >= j.max_deliveries then date_trunc('milliseconds', clock_timestamp()) end,
              history = case
                when d.action = 'nack' and not j.uncounted then with_past_delivery(p.history, p.consumer, p.delivered_at, 'given back', j.reason)
                when d.action = 'remove' then with_past_delivery(p.history, p.consumer, p.delivered_at, 'consumer removed', null)
                else p.history end
            from done d join judged j on j.write = d.write
            where d.action <> 'ack' and p.group_id = d.group_id and p.ms = d.ms and p.seq = d.seq
            returning d.write, d.action, p.ms, p.seq, p.delivery, p.dead_at)`
        : sql``
    }, result as materialized (
      select j.*, (select count(*)::int from done d where d.write = j.write) as count, ${
        changes
          ? sql`(select count(c.dead_at)::int from changed c where c.write = j.write) as dead,
              (select json_agg(json_build_object('ms', c.ms, 'seq', c.seq, 'delivery', c.delivery::text) order by c.ms, c.seq)
                from changed c where c.write = j.write and c.action = 'extend') as held`
          : sql`0 as dead, null::json as held`
      }
      from judged j
    )
    ${
      hasRequests
        ? sql`, stored_reply as (
            insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
            select tenant, request, seal(fingerprint), json_build_object('count', count, 'dead', dead), '{}', 32
            from result where request is not null and final_refusal is null)`
        : sql``
    }
    select final_refusal as refusal, count, dead, held::text, repeats, ${replyColumn(sql, { hasRequests }, sql`result`)}
    from result order by write`;
}

/** True if the pending entry `p` is one that `named` names, and the write `a` may settle. */
const isNamed = (sql: Sql): Fragment => sql`
  p.ms = named.ms and p.seq = named.seq and case a.action
    when 'retry' then p.dead_at is not null
    when 'ack' then named.delivery is null or p.delivery = named.delivery and (p.consumer <> '' or p.dead_at is not null)
    else p.consumer <> '' and (named.delivery is null or p.delivery = named.delivery)
  end`;
