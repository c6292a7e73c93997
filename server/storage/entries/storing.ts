// The steps of a statement that writes entries which store the rows of its step `changed`.
import type { Fragment, Sql } from "../../postgres/connection.js";

/** `isNew` and `isKnown` are the conditions of the rows that are to be inserted, and of those whose row we have locked. */
export const storing = (sql: Sql, isNew: Fragment, isKnown: Fragment): Fragment => sql`inserted as (
    insert into mutable (${columns(sql)}) select ${columns(sql)} from changed where ${isNew}
    order by 1, 2, 3
  ), updated as (
    -- An insert that always conflicts, since we have locked these rows. It replaces an update, which would
    -- need a join, whose plan might scan the table.
    insert into mutable as m (${columns(sql)}) select ${columns(sql)} from changed where ${isKnown}
    on conflict (tenant, namespace, key) do update set
      value = excluded.value, user_id = excluded.user_id, metadata = excluded.metadata, agent_id = excluded.agent_id,
      principal = excluded.principal, created_at = excluded.created_at,
      updated_at = excluded.updated_at, expire_at = excluded.expire_at, revision = excluded.revision,
      created_revision = excluded.created_revision
  )`;

const columns = (sql: Sql): Fragment => sql`
  tenant, namespace, key, value, user_id, metadata, agent_id, principal, created_at, updated_at, expire_at, revision, created_revision`;
