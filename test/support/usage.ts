import type { Sql } from "../../server/postgres/connection.js";

/** Where the sums that the database keeps (migration 0015) are not those of the rows, as of one moment. */
export async function wrongSums(sql: Sql): Promise<object[]> {
  return sql`
    with actual as (
      select tenant, kind, space, sum(rows) as rows, sum(versions) as versions, sum(bytes) as bytes, sum(metadata_bytes) as metadata_bytes
      from (
        select tenant, 'entry' as kind, namespace as space, 1 as rows, 0 as versions, octet_length(value::text) as bytes,
          octet_length(metadata::text) as metadata_bytes
        from mutable
        union all
        select tenant, case when type like '$cortex/%' then 'reserved' else 'record' end, type, case when erased then 0 else 1 end, 0, 0, 0
        from immutable
        union all
        select tenant, case when type like '$cortex/%' then 'reserved' else 'record' end, type, 0, 1, coalesce(octet_length(data::text), 0),
          octet_length(metadata::text)
        from immutable_version
        union all
        select tenant, 'user', '', 0, 0, octet_length(profile::text), 0 from users
        union all
        select tenant, 'claim', '', 1, 0, bytes, 0 from claim
        union all
        select tenant, 'stream', '', 1, 0, 0, 0 from stream
        union all
        select tenant, 'stream', '', 1, 0, 0, 0 from stream_group
        union all
        select tenant, 'stream', '', 0, 0, bytes + 64, 0 from stream_entry
        union all
        select tenant, 'pending', '', 1, 0, 0, 0 from stream_pending
      ) as r group by tenant, kind, space
    ), known as (
      select tenant, kind, space, sum(rows) as rows, sum(versions) as versions, sum(bytes) as bytes, sum(metadata_bytes) as metadata_bytes
      from (select * from usage where space <> '' or kind in ('user', 'claim', 'stream', 'pending') union all select * from usage_delta) as u
      group by tenant, kind, space
      having sum(rows) <> 0 or sum(versions) <> 0 or sum(bytes) <> 0 or sum(metadata_bytes) <> 0
    ), wrong_total as ( -- the row of all spaces has the sums of the others
      select t.tenant, t.kind, t.rows, t.bytes, s.rows as of_spaces
      from (select * from usage where space = '' and kind not in ('user', 'claim', 'stream', 'pending')) as t
      full join (
        select tenant, kind, sum(rows) as rows, sum(versions) as versions, sum(bytes) as bytes, sum(metadata_bytes) as metadata_bytes
        from usage where space <> '' group by tenant, kind
        having sum(rows) <> 0 or sum(versions) <> 0 or sum(bytes) <> 0 or sum(metadata_bytes) <> 0
      ) as s using (tenant, kind)
      where (t.rows, t.versions, t.bytes, t.metadata_bytes) is distinct from (s.rows, s.versions, s.bytes, s.metadata_bytes)
    )
    select to_json(actual) as actual, to_json(known) as known
    from (select * from actual where rows + versions + bytes + metadata_bytes > 0) as actual full join known using (tenant, kind, space)
    where (actual.rows, actual.versions, actual.bytes, actual.metadata_bytes)
      is distinct from (known.rows, known.versions, known.bytes, known.metadata_bytes)
    union all
    select to_json(t), null from wrong_total as t`;
}
