// Purges of entries: one transaction, so that all of what matches is deleted, or nothing.
import type { Call } from "../../grpc/call.js";
import type { Fragment, Run, Sql } from "../../postgres/connection.js";
import { type AuditEntry, audit, auditDigest } from "../audit/audit.js";
import { purgeTransaction } from "../audit/purge.js";
import { findStoredReply, idempotencyKey, storeReply } from "../idempotency.js";
import { type EntryFilter, matches } from "./filter.js";

const keysShownMax = 1000;
const passesMax = 10;

/** What was deleted, as it is stored under the request id. */
interface Purged {
  deleted: number;
  /** The first keys; null in a stored reply that was slimmed (see kept-replies.ts). */
  keys: string[] | null;
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
  const { tenant } = call.caller;
  const key = idempotencyKey(requestId, rpc, identity);
  const answer = ({ deleted, keys }: Purged) => ({
    deleted: BigInt(deleted),
    keys: keys ?? [],
    dryRun,
  });
  if (dryRun) {
    if (key) await findStoredReply(call.db.short, tenant, key); // refuses a reused request id
    const { shown, deleted } = await pass(call.db.purges, condition, true);
    return answer({ deleted, keys: shown.map(([name]) => name), user: null });
  }
  const purged = await purgeTransaction<Purged>(call, key, async (run) => {
    const { userIds, ...purged } = await deleteAll(run, condition);
    if (key) await storeReply(run, tenant, key, { reply: JSON.stringify(purged), userIds });
    const entry = auditEntry(rpc, asked, purged);
    if (entry) await audit(call, run, entry);
    return purged;
  });
  return answer(purged as Purged);
}

/**
 * Deletes in passes, until a pass finds nothing: a statement that waited for a transaction does not see a key
 * which that transaction deleted and created again.
 */
async function deleteAll(run: Run, condition: PurgeRequest["condition"]) {
  const shown: [key: string, user: string | null][] = [];
  const users = new Set<string>();
  let deleted = 0;
  for (let passes = 0; passes < passesMax; passes++) {
    const found = await pass(run, condition, false);
    if (found.deleted === 0) break;
    deleted += found.deleted;
    shown.push(...found.shown);
    for (const user of [found.first_user, found.last_user]) if (user !== null) users.add(user);
  }
  shown.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))).splice(keysShownMax);
  const [onlyUser, ...others] = users;
  const user = others.length === 0 ? (onlyUser ?? null) : null;
  const userIds = new Set([
    ...shown.flatMap(([, of]) => of ?? []),
    ...(user === null ? [] : [user]),
  ]);
  return { deleted, keys: shown.map(([key]) => key), user, userIds: [...userIds] };
}

interface Pass {
  deleted: number;
  /** The first keys, with their users. */
  shown: [key: string, user: string | null][];
  first_user: string | null;
  last_user: string | null;
}

/** Deletes what matches, or counts it. */
async function pass(
  run: Run,
  condition: PurgeRequest["condition"],
  dryRun: boolean,
): Promise<Pass> {
  const [row] = await run<Pass>(
    (sql) => sql`
      with deleted as materialized (
        ${dryRun ? sql`select m.key, m.user_id` : sql`delete`} from mutable m where ${condition(sql)}
        ${dryRun ? sql`` : sql`returning m.key, m.user_id`}
      ), shown as (
        select key, user_id from deleted order by key limit ${keysShownMax}
      )
      select (select count(*)::int from deleted) as deleted, (select min(user_id) from deleted) as first_user,
        (select max(user_id) from deleted) as last_user,
        (select coalesce(json_agg(json_build_array(key, user_id)), '[]') from shown) as shown`,
  );
  return row as Pass;
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
