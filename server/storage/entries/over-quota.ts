// The step of the statement that writes entries which checks the quota of its tenant, if that is near a limit.
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { Room } from "../../runtime/quotas.js";

/** Selects which quota the only write of the statement exceeds; null if none. Adding nothing exceeds none. */
export const overQuota = (sql: Sql, room: Room): Fragment => sql`
  select case
      when keys > greatest(0, ${room.keys}::bigint) then 'QUOTA_KEYS'
      when bytes > greatest(0, ${room.bytes}::bigint) then 'QUOTA_BYTES'
    end as refusal
  from (
    select count(*) filter (where states.present and not key.present) as keys,
      sum(case when states.present then octet_length(states.value::text) + octet_length(states.metadata::text) else 0 end
        - case when key.present then octet_length(key.value::text) + octet_length(key.metadata::text) else 0 end) as bytes
    from states join locked_key as key on key.ordinal = states.ordinal
    where states.last
  ) as added`;
