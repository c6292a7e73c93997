import type { PurgeVersionsRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Sql } from "../postgres/connection.js";
import { purge } from "../storage/audit/purge.js";
import { ownersOf, recordPurgeEntry } from "../storage/audit/purge-of-records.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey, type Work } from "../storage/idempotency.js";
import { parseName, type RecordName, recordLockName } from "../storage/versions/name.js";
import { isRecord, versionAt } from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

interface Purged {
  deleted: number;
  remaining: number;
  user: string | null;
}

const overtakenMax = 100; // how often others may store while the record is waited for

export async function purgeVersions(request: PurgeVersionsRequest, call: Call) {
  const { server, signal } = call;
  const name = parseName(call.caller, request);
  const { tenant, type, id } = name;
  const { keepLatest } = request;
  const refuse = (field: string, problem: string) =>
    new CortexError("INVALID_OPTIONS", { field, problem });
  if (keepLatest !== undefined && keepLatest < 1) throw refuse("keep_latest", "is below 1");
  const olderThan =
    request.olderThan && check.time(request.olderThan, "older_than", Math.ceil, "INVALID_TIME");
  // Stored times are whole milliseconds, so a version older than a time was stored at least 1 ms before it.
  const until = olderThan && new Date(Math.max(olderThan.getTime() - 1, check.earliest));
  if (keepLatest === undefined && !until)
    throw refuse("keep_latest", "and older_than are both missing: one of them says what goes");
  const identity = [type, id, keepLatest, olderThan];
  const key = idempotencyKey(request.requestId, "Immutable/PurgeVersions", identity);
  const lockName = recordLockName(tenant, type, id);
  const owner = {};
  await server.locks.acquire(lockName, owner, signal); // stores of the record on this server wait meanwhile
  try {
    for (let overtaken = 0; overtaken < overtakenMax; overtaken++) {
      const purged = await purge<Purged>(call, {
        key,
        guard: parseGuard(tenant, request.claim),
        work: (sql) => deletion(sql, name, keepLatest, until),
        auditEntry: ({ deleted, user }) =>
          deleted > 0
            ? recordPurgeEntry("PurgeVersions", { type, id }, { versions: deleted }, user)
            : undefined,
      });
      if (purged)
        return {
          versionsDeleted: BigInt(purged.deleted),
          versionsRemaining: BigInt(purged.remaining),
        };
    }
    throw new CortexError("CONFLICT");
  } finally {
    server.locks.release(lockName, owner);
  }
}

/**
 * Gives no reply if others stored while the statement waited for the lock of the record: only the next
 * statement sees their versions.
 */
const deletion = (
  sql: Sql,
  name: RecordName,
  keepLatest: number | undefined,
  until: Date | undefined,
): Work => ({
  steps: sql`locked as materialized (
    select h.* from immutable h where ${isRecord(sql, name)} for no key update
  ), bound as materialized (
    select h.*, greatest(h.first_version, least(h.version, ${keepLatest === undefined ? sql`null` : sql`h.version - ${keepLatest}::int + 1`},
      ${until ? sql`${versionAt(sql, until)} + 1` : sql`null`})) as new_first
    from locked h
    join immutable seen on seen.tenant = h.tenant and seen.type = h.type and seen.id = h.id and seen.digest = h.digest
  ), moved as (
    update immutable h set first_version = bound.new_first from bound
    where ${isRecord(sql, name)} and bound.new_first > h.first_version
  ), deleted as (
    delete from immutable_version v using bound
    where v.tenant = ${name.tenant} and v.type = ${name.type} and v.id = ${name.id} and v.version < bound.new_first
  ), ${ownersOf(sql, name.tenant, sql`locked`)}`,
  reply: sql`
    select array(select id from only_user where id is not null) as user_ids, json_build_object(
      'deleted', coalesce(bound.new_first - bound.first_version, 0),
      'remaining', coalesce(bound.version - bound.new_first + 1, 0), 'user', (select id from only_user)) as reply
    from (select 1) as one left join bound on true
    where bound.version is not null or not exists (select from immutable h where ${isRecord(sql, name)})`,
});
