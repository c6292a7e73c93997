import type { PurgeVersionsRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { CortexError } from "../errors.js";
import { once, requestKey } from "../request.js";
import { recordId } from "../store.js";
import { ofRecord, versionAt } from "../versions.js";
import { nameOf } from "./name.js";

interface Purged {
  deleted: number;
  remaining: number;
}

const attemptsMax = 100;

export async function purgeVersions(request: PurgeVersionsRequest, call: Call) {
  const { tenant, purges, locks, signal } = call;
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
  const key = requestKey(request.requestId, "Immutable/PurgeVersions", [type, id, keep, time]);
  const owner = {};
  const name = recordId(tenant, type, id);
  await locks.own(name, owner, signal); // whoever stores on this server waits meanwhile
  try {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      // No reply where others stored while the record was waited for, whose versions only the next statement can see.
      const purged = await once<Purged>(purges, tenant, key, (sql) => ({
        steps: sql`held as materialized (
          select h.* from immutable h where ${ofRecord(sql, tenant, type, id)} for no key update
        ), bound as materialized (
          select h.*, greatest(h.first_version, least(h.version, ${keep === undefined ? sql`null` : sql`h.version - ${keep}::int + 1`},
            ${before ? sql`${versionAt(sql, before)} + 1` : sql`null`})) as new_first
          from held h
          join immutable seen on seen.tenant = h.tenant and seen.type = h.type and seen.id = h.id and seen.digest = h.digest
        ), moved as (
          update immutable h set first_version = bound.new_first from bound
          where ${ofRecord(sql, tenant, type, id)} and bound.new_first > h.first_version
        ), gone as (
          delete from immutable_version v using bound
          where v.tenant = ${tenant} and v.type = ${type} and v.id = ${id} and v.version < bound.new_first)`,
        reply: sql`
        select '{}'::text[] as user_ids, json_build_object(
          'deleted', coalesce(bound.new_first - bound.first_version, 0),
          'remaining', coalesce(bound.version - bound.new_first + 1, 0)) as reply
        from (select 1) as one left join bound on true
        where bound.version is not null or not exists (select from immutable h where ${ofRecord(sql, tenant, type, id)})`,
      }));
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
