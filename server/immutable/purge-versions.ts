import type { PurgeVersionsRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Sql } from "../postgres/connection.js";
import { purging } from "../storage/audit/purge.js";
import { entryOf, usersOf } from "../storage/audit/record-purge.js";
import { idempotencyKey, type Work } from "../storage/idempotency.js";
import { nameOf } from "../storage/versions/name.js";
import { recordLockName } from "../storage/versions/store.js";
import { isRecord, versionAt } from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

interface Purged {
  deleted: number;
  remaining: number;
  user: string | null;
}

const attemptsMax = 100;

export async function purgeVersions(request: PurgeVersionsRequest, call: Call) {
  const { tenant, locks, signal } = call;
  const { type, id } = nameOf(tenant, request);
  const { keepLatest: keep } = request;
  const refuse = (field: string, problem: string) =>
    new CortexError("INVALID_OPTIONS", { field, problem });
  if (keep !== undefined && keep < 1) throw refuse("keep_latest", "is below 1");
  const time =
    request.olderThan && check.time(request.olderThan, "older_than", Math.ceil, "INVALID_TIME");
  const before = time && new Date(Math.max(time.getTime() - 1, check.earliest)); // times are whole milliseconds
  if (keep === undefined && !before)
    throw refuse("keep_latest", "is missing, and older_than too: one of both says what goes");
  const key = idempotencyKey(request.requestId, "Immutable/PurgeVersions", [type, id, keep, time]);
  const owner = {};
  const name = recordLockName(tenant, type, id);
  await locks.acquire(name, owner, signal); // whoever stores on this server waits meanwhile
  try {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      // No reply where others stored while the record was waited for, whose versions only the next statement can see.
      const work = (sql: Sql): Work => ({
        steps: sql`held as materialized (
          select h.* from immutable h where ${isRecord(sql, tenant, type, id)} for no key update
        ), bound as materialized (
          select h.*, greatest(h.first_version, least(h.version, ${keep === undefined ? sql`null` : sql`h.version - ${keep}::int + 1`},
            ${before ? sql`${versionAt(sql, before)} + 1` : sql`null`})) as new_first
          from held h
          join immutable seen on seen.tenant = h.tenant and seen.type = h.type and seen.id = h.id and seen.digest = h.digest
        ), moved as (
          update immutable h set first_version = bound.new_first from bound
          where ${isRecord(sql, tenant, type, id)} and bound.new_first > h.first_version
        ), gone as (
          delete from immutable_version v using bound
          where v.tenant = ${tenant} and v.type = ${type} and v.id = ${id} and v.version < bound.new_first
        ), ${usersOf(sql, tenant, sql`held`)}`,
        reply: sql`
        select array(select id from only_user where id is not null) as user_ids, json_build_object(
          'deleted', coalesce(bound.new_first - bound.first_version, 0),
          'remaining', coalesce(bound.version - bound.new_first + 1, 0), 'user', (select id from only_user)) as reply
        from (select 1) as one left join bound on true
        where bound.version is not null or not exists (select from immutable h where ${isRecord(sql, tenant, type, id)})`,
      });
      const purged = await purging<Purged>(call, {
        request: key,
        work,
        entry: ({ deleted, user }) =>
          deleted > 0
            ? entryOf("PurgeVersions", { type, id }, { versions: deleted }, user)
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
    locks.release(name, owner);
  }
}
