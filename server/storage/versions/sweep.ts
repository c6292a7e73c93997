// Retention where no store enforces it: after it was made shorter. In bounded statements, one server at a time.

import type { Retention } from "../../config/retention.js";
import type { Run } from "../../postgres/connection.js";

const sweepLock = 0x72657461; // "reta"
const recordsMax = 100;
const versionsMax = 100; // of each

/** Deletes versions beyond what is kept; returns how many. */
export async function sweep(run: Run, { defaultVersions, byType }: Retention): Promise<number> {
  for (let swept = 0; ; ) {
    const [row] = await run<{ records: string; versions: string }>(
      (sql) => sql`
        with recursive type as ( -- each type that has a record of several versions, by a look into the index each
          (select type from immutable where version > first_version order by type limit 1)
          union all
          select next.type from type
          cross join lateral (
            select h.type from immutable h where h.version > h.first_version and h.type > type.type order by h.type limit 1
          ) as next
        ), turn as materialized (select pg_try_advisory_xact_lock(${sweepLock}) as ours),
        kept as materialized (
          select type.type, coalesce(own.keep, ${defaultVersions}) as keep
          from type left join unnest(${[...byType.keys()]}::text[], ${[...byType.values()]}::int[]) as own (type, keep) on own.type = type.type
          where (select ours from turn)
        ), held as materialized (
          select h.tenant, h.type, h.id, h.first_version, least(h.version - kept.keep + 1, h.first_version + ${versionsMax}) as new_first
          from kept
          cross join lateral (
            select h.* from immutable h
            where h.type = kept.type and h.version - h.first_version >= kept.keep and h.version > h.first_version
            limit ${recordsMax}
            for no key update skip locked
          ) as h
          where kept.keep > 0
            -- not where others stored meanwhile, whose versions only the next statement can see
            and h.digest = (select s.digest from immutable s where s.tenant = h.tenant and s.type = h.type and s.id = h.id)
          limit ${recordsMax}
        ), moved as (
          update immutable h set first_version = held.new_first from held
          where h.tenant = held.tenant and h.type = held.type and h.id = held.id
        ), gone as (
          delete from immutable_version v using held
          where v.tenant = held.tenant and v.type = held.type and v.id = held.id and v.version < held.new_first
          returning 1
        )
        select (select count(*) from held) as records, (select count(*) from gone) as versions`,
    );
    swept += Number(row?.versions ?? 0);
    if (Number(row?.records ?? 0) === 0) return swept;
  }
}
