// Deletes the versions beyond retention of records that nobody stores again after retention was shortened.
// Runs in bounded statements, on one server at a time.

import type { Retention } from "../../config/retention.js";
import type { Run } from "../../postgres/connection.js";

const sweepLock = 0x72657461; // "reta"
const recordsMax = 100;
const versionsMax = 100; // of each record

/** Deletes versions beyond what retention keeps. Returns how many. */
export async function sweepVersions(
  run: Run,
  { defaultVersions, byType }: Retention,
): Promise<number> {
  for (let total = 0; ; ) {
    const [row] = await run<{ records: string; versions: string }>(
      (sql) => sql`
        with recursive type as ( -- the types with a record of several versions; each takes one index lookup
          (select type from immutable where version > first_version order by type limit 1)
          union all
          select next.type from type
          cross join lateral (
            select h.type from immutable h where h.version > h.first_version and h.type > type.type order by h.type limit 1
          ) as next
        ), lock as materialized (select pg_try_advisory_xact_lock(${sweepLock}) as is_ours),
        retention as materialized (
          select type.type, coalesce(own.keep, ${defaultVersions}) as keep
          from type left join unnest(${[...byType.keys()]}::text[], ${[...byType.values()]}::int[]) as own (type, keep) on own.type = own_name(type.type)
          where (select is_ours from lock)
        ), locked as materialized (
          select h.tenant, h.type, h.id, h.first_version, least(h.version - retention.keep + 1, h.first_version + ${versionsMax}) as new_first
          from retention
          cross join lateral (
            select h.* from immutable h
            where h.type = retention.type and h.version - h.first_version >= retention.keep and h.version > h.first_version
            limit ${recordsMax}
            for no key update skip locked
          ) as h
          where retention.keep > 0
            -- skips records that others stored meanwhile: only the next statement sees their versions
            and h.digest = (select s.digest from immutable s where s.tenant = h.tenant and s.type = h.type and s.id = h.id)
          limit ${recordsMax}
        ), moved as (
          update immutable h set first_version = locked.new_first from locked
          where h.tenant = locked.tenant and h.type = locked.type and h.id = locked.id
        ), deleted as (
          delete from immutable_version v using locked
          where v.tenant = locked.tenant and v.type = locked.type and v.id = locked.id and v.version < locked.new_first
          returning 1
        )
        select (select count(*) from locked) as records, (select count(*) from deleted) as versions`,
    );
    total += Number(row?.versions ?? 0);
    if (Number(row?.records ?? 0) === 0) return total;
  }
}
