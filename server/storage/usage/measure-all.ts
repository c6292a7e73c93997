// Measures what all tenants store together, and some of them alone, for metrics.
import type { Run } from "../../postgres/connection.js";
import type { TenantUse } from "../../telemetry/telemetry.js";

type Row = Record<keyof TenantUse, string> & { all: boolean };

/**
 * The sums that the database keeps: no rows are counted. Expired entries count until they are swept. Tenants in `known`
 * come first, then the largest.
 */
export async function measureAll(
  run: Run,
  known: readonly string[],
  tenantsMax: number,
): Promise<{ all: Omit<TenantUse, "tenant">; tenants: TenantUse[] }> {
  const rows = await run<Row>(
    (sql) => sql`
      with one as (
        select tenant,
          coalesce(sum(rows) filter (where kind in ('entry', 'claim', 'stream')), 0) as keys,
          coalesce(sum(bytes + metadata_bytes), 0) as bytes,
          coalesce(sum(versions), 0) as versions,
          coalesce(sum(rows) filter (where kind = 'pending'), 0) as pending
        from (
          select tenant, kind, rows, versions, bytes, metadata_bytes from usage where space = ''
          union all
          select tenant, kind, rows, versions, bytes, metadata_bytes from usage_delta where space = ''
        ) as u
        where kind in ('entry', 'record', 'user', 'claim', 'stream', 'pending')
        group by tenant
      )
      select true as "all", '' as tenant, coalesce(sum(keys), 0) as keys, coalesce(sum(bytes), 0) as bytes,
        coalesce(sum(versions), 0) as versions, coalesce(sum(pending), 0) as pending
      from one
      union all
      (select false, tenant, keys, bytes, versions, pending from one
      order by tenant = any(${known}::text[]) desc, bytes desc, tenant limit ${tenantsMax})`,
  );
  const use = rows.map((row) => ({
    all: row.all,
    tenant: row.tenant,
    keys: Number(row.keys),
    bytes: Number(row.bytes),
    versions: Number(row.versions),
    pending: Number(row.pending),
  }));
  const tenants = use.filter(({ all }) => !all).map(({ all: _, ...one }) => one);
  const { all: _, tenant: __, ...all } = use.find(({ all }) => all) as (typeof use)[number];
  return { all, tenants };
}
