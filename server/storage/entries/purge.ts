// Purges of entries: one statement, so that all of what matches is deleted, or nothing.
import type { Call } from "../../grpc/call.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import { type AuditEntry, auditDigest } from "../audit/audit.js";
import { purge } from "../audit/purge.js";
import { idempotencyKey, type Work } from "../idempotency.js";
import { type EntryFilter, matches } from "./filter.js";

const keysShownMax = 1000;

interface Purged {
  deleted: number;
  keys: string[];
  /** The user whose entries were deleted; null if there were several users or none. */
  user: string | null;
}

interface PurgeRequest {
  rpc: string;
  requestId: string | undefined;
  dryRun: boolean;
  /** The parts of the request that its fingerprint covers. */
  identity: unknown;
  /** The names in the request, for the audit trail. */
  asked: Record<string, unknown>;
  /** The condition on `m` of the entries to delete. */
  condition: (sql: Sql) => Fragment;
}

/** Deletes the entries that match the filter, or counts them. */
export async function purgeMatching(
  call: Call,
  rpc: string,
  filter: EntryFilter,
  { requestId, dryRun }: { requestId?: string | undefined; dryRun: boolean },
) {
  const { tenant, userId, ...names } = filter;
  const user = userId === undefined ? {} : { user: auditDigest(tenant, userId) };
  return purgeEntries(call, {
    rpc,
    requestId,
    dryRun,
    identity: [filter, dryRun],
    asked: { ...names, ...user },
    condition: (sql) => matches(sql, filter),
  });
}

export async function purgeEntries(
  call: Call,
  { rpc, requestId, dryRun, identity, asked, condition }: PurgeRequest,
) {
  const purged = await purge<Purged>(call, {
    key: idempotencyKey(requestId, rpc, identity),
    dryRun,
    work: (sql) => deletion(sql, condition(sql), dryRun),
    auditEntry: (purged) => auditEntry(rpc, asked, purged),
  });
  return { deleted: BigInt(purged?.deleted ?? 0), keys: purged?.keys ?? [], dryRun };
}

const auditEntry = (
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

const deletion = (sql: Sql, condition: Fragment, dryRun: boolean): Work => ({
  steps: sql`deleted as materialized (
    ${dryRun ? sql`select m.key, m.user_id` : sql`delete`} from mutable m where ${condition}
    ${dryRun ? sql`` : sql`returning m.key, m.user_id`}
  ), shown as (
    select key, user_id from deleted order by key limit ${keysShownMax}
  ), only_user as (
    select case when min(user_id) = max(user_id) then min(user_id) end as id from deleted)`,
  reply: sql`
    select array(select user_id from shown where user_id is not null union select id from only_user where id is not null) as user_ids,
      json_build_object('deleted', (select count(*) from deleted), 'keys', array(select key from shown),
        'user', (select id from only_user)) as reply`,
});
