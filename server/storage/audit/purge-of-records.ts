// Shared by Purge, PurgeMany and PurgeVersions of records: finds the users whose versions they delete, and
// makes the entry for the audit trail.
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { AuditEntry } from "./audit.js";

export const recordPurgeEntry = (
  rpc: string,
  asked: Record<string, unknown>,
  deleted: Record<string, number>,
  userId: string | null,
): AuditEntry => ({
  action: `ImmutableStore.${rpc}`,
  asked,
  deleted,
  ...(userId !== null && { userId }),
});

/**
 * Two steps of a statement. `owner` gives the users whose versions the records have. `only_user` gives the
 * user if there is just one, else null.
 */
export const ownersOf = (sql: Sql, tenant: string, records: Fragment): Fragment => sql`
  owner as materialized (
    select r.type, r.id, v.user_id
    from ${records} r cross join lateral (
      select distinct v.user_id from immutable_version v
      where v.tenant = ${tenant} and v.type = r.type and v.id = r.id
      offset 0 -- record by record
    ) as v
    where v.user_id is not null
  ), only_user as (
    select case when min(user_id) = max(user_id) then min(user_id) end as id from owner
  )`;
