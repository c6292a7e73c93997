// Measures tenants for their quotas.
import type { Run } from "../../postgres/connection.js";
import type { Amounts } from "../../runtime/quotas.js";
import { reservedTypePrefix } from "../../validation/fields.js";
import { expiredEntries, usageOf } from "./usage.js";

type Row = Record<keyof Amounts, string>;

const amountsOf = ({ keys, bytes, versions, pending }: Row): Amounts => ({
  keys: Number(keys),
  bytes: Number(bytes),
  versions: Number(versions),
  pending: Number(pending),
});

/** What each of the tenants stores. The server's own records are in no quota. */
export async function measure(run: Run, tenants: string[]): Promise<Amounts[]> {
  const rows = await run<Row>(
    (sql) => sql`
      select coalesce(u.keys, 0) - (select count(*) from (${expiredEntries(sql, sql`asked.tenant`)}) as expired) as keys,
        coalesce(u.bytes, 0) as bytes, coalesce(u.versions, 0) as versions, coalesce(u.pending, 0) as pending
      from unnest(${tenants}::text[]) with ordinality as asked (tenant, place)
      cross join lateral (
        select sum(rows) filter (where kind in ('entry', 'claim', 'stream')) as keys, sum(bytes + metadata_bytes) as bytes,
          sum(versions) as versions, sum(rows) filter (where kind = 'pending') as pending
        from (${usageOf(sql, { kinds: ["entry", "record", "user", "claim", "stream", "pending"], tenant: () => sql`asked.tenant` })}) as u
      ) as u
      order by asked.place`,
  );
  return rows.map(amountsOf);
}

/** The same by counting the rows: while the first count (first-count.ts) is not done. */
export async function measureRows(run: Run, tenants: string[]): Promise<Amounts[]> {
  const rows = await run<Row>(
    (sql) => sql`
      select m.keys + coalesce(s.keys, 0) as keys, coalesce(m.bytes, 0) + coalesce(v.bytes, 0) + coalesce(u.bytes, 0) + coalesce(s.bytes, 0) as bytes,
        v.versions, coalesce(s.pending, 0) as pending
      from unnest(${tenants}::text[]) with ordinality as asked (tenant, place)
      cross join lateral (
        select count(*) filter (where m.expire_at is null or m.expire_at > statement_timestamp()) as keys,
          sum(m.bytes + octet_length(m.metadata::text)) as bytes
        from mutable m where m.tenant = asked.tenant
      ) as m
      cross join lateral (
        select count(*) as versions, sum(coalesce(v.bytes, 0) + octet_length(v.metadata::text)) as bytes
        from immutable_version v
        where v.tenant = asked.tenant and not starts_with(v.type, ${reservedTypePrefix})
      ) as v
      cross join lateral (
        select sum(octet_length(u.profile::text)) as bytes from users u where u.tenant = asked.tenant
      ) as u
      cross join lateral ( -- these tables are younger than the sums
        select sum(s.rows) filter (where s.kind <> 'pending') as keys, sum(s.bytes) as bytes, sum(s.rows) filter (where s.kind = 'pending') as pending
        from (${usageOf(sql, { kinds: ["claim", "stream", "pending"], tenant: () => sql`asked.tenant` })}) as s
      ) as s
      order by asked.place`,
  );
  return rows.map(amountsOf);
}
