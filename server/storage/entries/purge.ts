// What the purges do: one statement, so that all of it is deleted or none.

import type { Call } from "../../grpc/call.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import { type AuditEntry, userDigest } from "../audit/audit.js";
import { purging } from "../audit/purge.js";
import { idempotencyKey, type Work } from "../idempotency.js";
import { type Matching, matches } from "./filter.js";

const keysShownMax = 1000;

export interface Purged {
  deleted: number;
  keys: string[];
  /** Whose entries they were, if only one user had any. */
  user: string | null;
}

/** Deletes what matches, or says what it would delete. */
export async function purge(
  call: Call,
  rpc: string,
  matching: Matching,
  { requestId, dryRun }: { requestId?: string | undefined; dryRun: boolean },
) {
  const { tenant: _, userId, ...named } = matching;
  const user = userId === undefined ? {} : { user: userDigest(call.tenant, userId) };
  const purged = await purging<Purged>(call, {
    request: idempotencyKey(requestId, rpc, [matching, dryRun]),
    dryRun,
    work: (sql) => deleting(sql, (sql) => matches(sql, matching), dryRun),
    entry: (purged) => entryOf(rpc, { ...named, ...user }, purged),
  });
  return { deleted: BigInt(purged?.deleted ?? 0), keys: purged?.keys ?? [], dryRun };
}

/** What the audit log says of a purge. */
export const entryOf = (
  rpc: string,
  asked: Record<string, unknown>,
  { deleted, user }: Purged,
): AuditEntry | undefined =>
  deleted === 0
    ? undefined
    : {
        action: `MutableStore.${rpc}`,
        asked,
        deleted: { entries: deleted },
        ...(user !== null && { userId: user }),
      };

export const deleting = (sql: Sql, which: (sql: Sql) => Fragment, dryRun: boolean): Work => ({
  steps: sql`gone as materialized (
    ${dryRun ? sql`select m.key, m.user_id` : sql`delete`} from mutable m where ${which(sql)}
    ${dryRun ? sql`` : sql`returning m.key, m.user_id`}
  ), shown as (
    select key, user_id from gone order by key limit ${keysShownMax}
  ), only_user as (
    select case when min(user_id) = max(user_id) then min(user_id) end as id from gone)`,
  reply: sql`
    select array(select user_id from shown where user_id is not null union select id from only_user where id is not null) as user_ids,
      json_build_object('deleted', (select count(*) from gone), 'keys', array(select key from shown),
        'user', (select id from only_user)) as reply`,
});
