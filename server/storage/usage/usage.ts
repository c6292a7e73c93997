// How much each tenant stores, by the sums that the database keeps (migration 0015), so that no rows are counted.
import type { Fragment, Run, Sql } from "../../postgres/connection.js";
import { isIn, namesWithin } from "../name-range.js";

const foldedMax = 10_000;

/** Folds what statements have changed into the sums, so that few rows make up a sum. */
export async function foldUsage(run: Run): Promise<void> {
  for (let folded = foldedMax; folded === foldedMax; ) {
    const [row] = await run<{ folded: number }>(
      (sql) => sql`select fold_usage(${foldedMax}) as folded`,
    );
    folded = row?.folded ?? 0;
  }
}

/** What is counted: see migrations 0015, 0021 and 0026. */
type Kind = "entry" | "record" | "reserved" | "user" | "claim" | "stream" | "pending";

interface Spaces {
  kinds: Kind[];
  tenant: () => Fragment;
  /** An array of namespaces or types; undefined: all that there are. */
  spaces?: () => Fragment;
}

/** Selects the rows that add up to what the tenant stores in the spaces. */
export const usageOf = (sql: Sql, { kinds, tenant, spaces }: Spaces): Fragment => sql`
  select u.kind, u.rows, u.versions, u.bytes, u.metadata_bytes from usage u
  where u.tenant = ${tenant()} and u.kind = any(${kinds}::text[]) and u.space = any(${spaces?.() ?? sql`array['']`})
  union all
  select u.kind, u.rows, u.versions, u.bytes, u.metadata_bytes from usage_delta u
  where u.tenant = ${tenant()} and u.kind = any(${kinds}::text[]) ${spaces ? sql`and u.space = any(${spaces()})` : sql``}`;

/** Selects the entries that have expired but are not swept yet: the sums have these too. */
export const expiredEntries = (sql: Sql, tenant: Fragment): Fragment => sql`
  select m.namespace, m.bytes from mutable m
  where m.tenant = ${tenant} and m.expire_at <= statement_timestamp() offset 0`;

/** The number of entries in a namespace. */
export const entriesIn = (
  sql: Sql,
  { tenant, namespace }: { tenant: string; namespace: string },
): Fragment => sql`(
  select coalesce(sum(u.rows), 0)::bigint - (
    select count(*) from (${expiredEntries(sql, sql`${tenant}`)}) as e where e.namespace = ${namespace})
  from (${usageOf(sql, {
    kinds: ["entry"],
    tenant: () => sql`${tenant}`,
    spaces: () => sql`array[${namespace}]`,
  })}) as u)`;

/** The number of records of the types; no types: of all in the scope, but for the reserved ones. */
export const recordsOf = (
  sql: Sql,
  { tenant, types, scope = "" }: { tenant: string; types: string[]; scope: string | undefined },
): Fragment =>
  types.length === 0
    ? recordsIn(sql, tenant, scope)
    : sql`(
        select coalesce(sum(u.rows), 0)::bigint
        from (${usageOf(sql, {
          tenant: () => sql`${tenant}`,
          kinds: ["record", "reserved"],
          spaces: () => sql`${types}::text[]`,
        })}) as u)`;

/** The number of records in a scope, or in none. */
function recordsIn(sql: Sql, tenant: string, scope: string): Fragment {
  return sql`(
    select coalesce(sum(u.rows), 0)::bigint from (
      select u.space, u.rows from usage u where u.tenant = ${tenant} and u.kind = 'record'
      union all select u.space, u.rows from usage_delta u where u.tenant = ${tenant} and u.kind = 'record'
    ) as u
    where ${isIn(sql, sql`u.space`, namesWithin({ scope }))})`;
}
