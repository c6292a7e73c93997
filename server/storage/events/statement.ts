// The one statement that publishes events. Its steps, in the order of the statement:
//   guard         locks the claims that guard the writes
//   asked         locks the request ids and the users of the events, and looks for a stored reply
//   judged        why an event is refused, if it is
//   refused       the writes that have a refused event: none of their events is published
//   published     writes the events of the others
//   stored_reply  stores the replies of those that have a request id
import type { Fragment, Sql } from "../../postgres/connection.js";
import { recordset } from "../../postgres/recordset.js";
import {
  type CommonRefusal,
  commonRefusals,
  replyColumn,
  requestColumns,
  type StoredBefore,
} from "../claims/admission.js";
import { guards } from "../claims/guard.js";
import type { StatementMode } from "../write-path.js";
import type { EventWrite } from "./event.js";

const eventRows = recordset("asked", {
  number: "int",
  write: "int",
  tenant: "text",
  channel: "text",
  data: "text",
  user_id: "text",
  agent: "text",
  request: "text", // this and the next only in the first event of a write that has a request id
  fingerprint: "text",
});

/** A row of the statement's answer: one for each event. */
export interface EventRow extends StoredBefore {
  refusal:
    | CommonRefusal
    | "WATCH_DISABLED"
    | "OVERLOADED"
    | "USER_NOT_FOUND"
    | "USER_LOCKED"
    | null;
  /** How many bytes all events together may take. */
  bytes_max: string;
}

export function statement(
  sql: Sql,
  writes: EventWrite[],
  { locking }: Pick<StatementMode, "locking">,
): Fragment {
  const rows = writes.flatMap(({ events, idempotencyKey }, write) =>
    events.map(({ tenant, channel, data, userId, agent }, i) => ({
      write,
      tenant,
      channel,
      data,
      user_id: userId,
      agent,
      request: i === 0 ? idempotencyKey?.id : undefined,
      fingerprint: i === 0 ? idempotencyKey?.fingerprint : undefined,
    })),
  );
  const skipLocked = locking === "try" ? sql`skip locked` : sql``;
  const hasGuards = writes.some(({ guard }) => guard);
  const hasRequests = writes.some(({ idempotencyKey }) => idempotencyKey);
  return sql`
    with ${hasGuards ? sql`guard as materialized (${guards(sql, writes, locking === "try")}),` : sql``}
    asked as materialized (
      select asked.*, u.id is not null as user_held, ${requestColumns(sql, { hasRequests }, locking)}
      from ${eventRows(
        sql,
        rows.map((row, number) => ({ ...row, number })),
      )} ${hasGuards ? sql`join (select count(*) from guard) as guarded on true` : sql``}
      -- The user of the event. The deletion of the user locks that row.
      left join lateral (
        select u.id from users u where u.tenant = asked.tenant and u.id = asked.user_id for key share ${skipLocked}
      ) as u on true
    ), judged as materialized (
      select asked.*, (select event_slot()) as slot, event_bytes_max() as bytes_max, case
          ${commonRefusals(sql, { hasGuards }, sql`asked`)}
          when f.retention_seconds = 0 then 'WATCH_DISABLED'
          when exists (select from event_excess e where e.tenant = asked.tenant) then 'OVERLOADED'
          when user_id is not null and not user_held then
            case when (select u.id from users u where u.tenant = asked.tenant and u.id = asked.user_id) is null then 'USER_NOT_FOUND'
              else 'USER_LOCKED' end
        end as refusal
      from asked cross join feed f
    ), refused as materialized (
      select write from judged where refusal is not null
    ), published as (
      insert into change (slot, tenant, store, space, name, kind, is_new, value, bytes, revision, user_id, agent_id, at)
      select slot, tenant, 'event', '', channel, 'publish', false, data::json, octet_length(data), 0, user_id, agent,
        date_trunc('milliseconds', clock_timestamp())
      from judged where write not in (select write from refused)
      order by number
    )
    ${
      hasRequests
        ? sql`, stored_reply as (
            insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
            select tenant, request, seal(fingerprint), '{}', '{}', 2 from judged
            where request is not null and write not in (select write from refused))`
        : sql``
    }
    select refusal, bytes_max, repeats, ${replyColumn(sql, { hasRequests }, sql`judged`)}
    from judged order by number`;
}
