// What the purges of records tell the audit log.

import type { Fragment, Sql } from "../../postgres/connection.js";
import type { AuditEntry } from "./audit.js";

export const entryOf = (
  rpc: string,
  asked: Record<string, unknown>,
  deleted: Record<string, number>,
  user: string | null = null,
): AuditEntry => ({
  action: `ImmutableStore.${rpc}`,
  asked,
  deleted,
  ...(user !== null && { userId: user }),
});

/** The users whose versions the records hold, as `owner`, and the only one, as `only_user`. */
export const usersOf = (sql: Sql, tenant: string, records: Fragment): Fragment => sql`
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
