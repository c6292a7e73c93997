// Creates a consumer group, and its stream if there is none.
import { CortexError } from "../../errors/reasons.js";
import { codeOf } from "../../errors/sqlstate.js";
import type { Call } from "../../grpc/call.js";
import { quotaExceeded, type Room } from "../../runtime/quotas.js";
import type { EntryId } from "../../validation/stream-fields.js";
import { fenceStale, type Guard, guards } from "../claims/guard.js";
import { type IdempotencyKey, once, storingMade } from "../idempotency.js";
import { isLocked, type Locked, untilUnlocked } from "../locks.js";
import type { Group } from "./group.js";
import { streamLockName } from "./stream.js";

export interface GroupOptions {
  /** After which id a new group begins; `end`: after the last one. */
  start: EntryId | "end";
  /** undefined: 60 seconds for a new group. */
  visibilitySeconds: number | undefined;
  /** 0: no limit. undefined: no limit for a new group. */
  maxDeliveries: number | undefined;
}

interface Ensured {
  created: boolean;
  visibility_seconds: number;
  max_deliveries: number | null;
}

interface Row {
  refusal: "CLAIM_LOCKED" | "FENCE_STALE" | "STREAM_LOCKED" | "TOO_MANY" | "QUOTA_KEYS" | null;
  reply: string | null;
}

const groupsMax = 100;

export async function ensureGroup(
  call: Call,
  { tenant, stream, group }: Group,
  options: GroupOptions,
  { key, guard }: { key: IdempotencyKey | undefined; guard: Guard | undefined },
): Promise<Ensured> {
  const { db, server } = call;
  const lockName = streamLockName(tenant, stream);
  const attempt = async (
    room: Room | undefined,
    waits: boolean,
  ): Promise<{ done: Ensured } | Locked> => {
    const [row] = await db.lockWaiting<Row>((sql) => {
      const { start, visibilitySeconds = null, maxDeliveries = null } = options;
      const position = (last: "last_ms" | "last_seq", of: "ms" | "seq") =>
        start === "end" ? sql`t.${sql(last)}` : sql`${`${start[of]}`}::bigint`;
      return sql`
        with guard as materialized (${guard ? guards(sql, [{ guard }], true) : sql`select null::text as refusal`}),
        held as materialized (
          select s.id, s.last_ms, s.last_seq from stream s
          where s.tenant = ${tenant} and s.name = ${stream} and (select refusal from guard) is null for update ${waits ? sql`` : sql`skip locked`}
        ), judged as materialized (
          select case
              when (select refusal from guard) is not null then (select refusal from guard)
              when exists (select from stream_group g where g.stream_id = (select id from held) and g.name = ${group}) then null
              when ${room ? sql`(case when exists (select from held) then 1 else 2 end) > ${room.keys}` : sql`false`} then 'QUOTA_KEYS'
              when (select count(*) from stream_group g where g.stream_id = (select id from held)) >= ${groupsMax}::int then 'TOO_MANY'
              when exists (select from held) then null
              -- It is locked, was deleted since the statement began, or is being created.
              when exists (select from stream s where s.tenant = ${tenant} and s.name = ${stream}) then 'STREAM_LOCKED'
              when not pg_try_advisory_xact_lock(lock_of('stream', ${tenant}, '', ${stream})) then 'STREAM_LOCKED'
            end as refusal
        ), created_stream as (
          insert into stream (tenant, name)
          select ${tenant}, ${stream} where (select refusal from judged) is null and not exists (select from held)
          returning id, last_ms, last_seq
        ), t as materialized (
          select n.*, nextval('stream_number') as new_id
          from (select * from held where (select refusal from judged) is null union all select * from created_stream) as n
        ), ensured as (
          insert into stream_group as g (tenant, stream_id, name, id, after_ms, after_seq, visibility_seconds, max_deliveries)
          select ${tenant}, t.id, ${group}, t.new_id, ${position("last_ms", "ms")}, ${position("last_seq", "seq")},
            coalesce(${visibilitySeconds}::float8, 60), nullif(${maxDeliveries}::int, 0)
          from t
          on conflict (stream_id, name) do update set
            visibility_seconds = coalesce(${visibilitySeconds}::float8, g.visibility_seconds),
            max_deliveries = case when ${maxDeliveries}::int is null then g.max_deliveries else nullif(${maxDeliveries}::int, 0) end
          returning g.visibility_seconds, g.max_deliveries, g.id = (select new_id from t) as created -- a group that was there keeps its id
        ), noted as ( -- an append that trims must know of a new group
          update stream s set groups = s.groups + 1
          where s.tenant = ${tenant} and s.name = ${stream} and exists (select from held) and exists (select from ensured e where e.created)
        ), made as materialized (
          select json_build_object('created', e.created, 'visibility_seconds', e.visibility_seconds,
              'max_deliveries', e.max_deliveries) as reply, '{}'::text[] as user_ids
          from ensured e
        )
        ${key ? storingMade(sql, tenant, key) : sql``}
        select (select refusal from judged) as refusal, (select reply::text from made) as reply`;
    });
    switch (row?.refusal) {
      case "CLAIM_LOCKED":
      case "STREAM_LOCKED":
        return { lockedBy: lockName };
      case "FENCE_STALE":
        throw fenceStale(guard as Guard);
      case "TOO_MANY":
        throw new CortexError("QUOTA_EXCEEDED", {
          applied: "no",
          quota: "groups",
          limit: `${groupsMax}`,
          got: `${groupsMax}`,
          retry_after_ms: "1000",
        });
      case "QUOTA_KEYS":
        throw quotaExceeded("keys", room as Room);
      default:
        return { done: JSON.parse(row?.reply as string) as Ensured };
    }
  };
  const unlocked = (room: Room | undefined, waitFor?: string) =>
    attempt(room, waitFor !== undefined).catch((error: unknown) => {
      if (codeOf(error) !== "55P03") throw error; // lock_not_available
      return { lockedBy: lockName };
    });
  const adds = { keys: 2, bytes: 0, versions: 0, pending: 0 };
  const ensured = await once<{ done: Ensured }>(call, key, {
    parse: (reply) => ({ done: JSON.parse(reply) as Ensured }),
    async attempt() {
      const reservation = await server.quotas.reserve(tenant, adds);
      try {
        // Only who finds it locked takes its place among those who wait for the stream.
        const first = await unlocked(reservation?.room);
        const outcome = isLocked(first)
          ? await untilUnlocked(call, lockName, (waitFor) => unlocked(reservation?.room, waitFor))
          : first;
        if (isLocked(outcome)) throw new CortexError("CONFLICT");
        if (!outcome.done.created) reservation?.settle({ ...adds, keys: 0 });
        return outcome;
      } finally {
        reservation?.release();
      }
    },
  });
  return (ensured as { done: Ensured }).done;
}
