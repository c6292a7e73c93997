// What the statements of events and streams have in common: request ids, guards, and what they mean for a write.
import type { Fragment, Sql } from "../../postgres/connection.js";
import { type Locking, lockRequest } from "../creation.js";
import { matching } from "../idempotency.js";
import { requestLockName } from "../locks.js";
import type { Outcome, Write } from "../write-path.js";
import { claimLockName } from "./claim.js";
import { fenceStale, type Guard } from "./guard.js";

/** Why a write is not made, whatever it writes. */
export type CommonRefusal = "REPEATED" | "REQUEST_LOCKED" | "CLAIM_LOCKED" | "FENCE_STALE";

export interface StoredBefore {
  /** The fingerprint that is stored under the request id; null: none. */
  repeats: string | null;
  /** The reply that is stored with it. */
  reply: string | null;
}

/** The outcome of a write that is not made for such a reason. */
export function notMade(
  { tenant, idempotencyKey, guard }: Write,
  refusal: CommonRefusal,
  { repeats, reply }: StoredBefore,
  index = 0,
): Outcome<never> {
  switch (refusal) {
    case "REPEATED":
      return { repeated: { fingerprint: repeats ?? "", reply } };
    case "REQUEST_LOCKED":
      return { lockedBy: requestLockName(tenant, idempotencyKey?.id ?? "") };
    case "CLAIM_LOCKED":
      return { lockedBy: claimLockName(tenant, guard?.name ?? "") };
    case "FENCE_STALE":
      return { refused: fenceStale(guard as Guard), index };
  }
}

interface Asked {
  /** True if some of the writes have request ids. */
  hasRequests: boolean;
  /** True if some of the writes have guards: then the statement has the step `guard`. */
  hasGuards: boolean;
}

/**
 * The columns `repeats` and `request_blocked` of the rows `asked`, which have `tenant`, `request` and `fingerprint`: looks
 * for stored replies, and locks the request ids.
 */
export const requestColumns = (
  sql: Sql,
  { hasRequests }: Pick<Asked, "hasRequests">,
  locking: Locking,
): Fragment =>
  hasRequests
    ? sql`(select ${matching(sql, sql`r.fingerprint`, sql`asked.fingerprint`)} from request r where r.tenant = asked.tenant and r.id = asked.request) as repeats,
        case when asked.request is not null then ${lockRequest(sql, { tenant: sql`asked.tenant`, id: sql`asked.request` }, locking)} else false end as request_blocked`
    : sql`null::text as repeats, false as request_blocked`;

/** The first branches of a `case` that gives the refusal of the row `row`, which has these columns and `write`. */
export const commonRefusals = (
  sql: Sql,
  { hasGuards }: Pick<Asked, "hasGuards">,
  row: Fragment,
): Fragment => sql`
  when ${row}.repeats is not null then 'REPEATED'
  when ${row}.request_blocked then 'REQUEST_LOCKED'
  ${hasGuards ? sql`when (select g.refusal from guard g where g.write = ${row}.write) is not null then (select g.refusal from guard g where g.write = ${row}.write)` : sql``}`;

/** The column `reply` of a row: the stored reply of one that repeats. */
export const replyColumn = (
  sql: Sql,
  { hasRequests }: Pick<Asked, "hasRequests">,
  row: Fragment,
): Fragment =>
  hasRequests
    ? sql`case when ${row}.repeats is not null then
        (select r.reply::text from request r where r.tenant = ${row}.tenant and r.id = ${row}.request) end as reply`
    : sql`null as reply`;
