// Counts what was stored before the database kept sums: the work of migration 0017. It goes in steps, in the
// order of names, while the server serves. A step is one statement, which compares the rows of some namespaces
// or types with their sums, as of one moment. So it is exact whatever is written meanwhile, and a count that was
// cut off can begin again.
import type { Batch, Rewrite } from "../../postgres/background-migrations.js";
import type { Fragment, Sql } from "../../postgres/connection.js";

const stepRows = 10_000; // and the rest of the namespace or type in which it ends

interface Name {
  tenant: string;
  space: string;
}

interface Part {
  kinds: string[];
  /** Selects the amounts of each row, with its tenant, kind and space. */
  rows(sql: Sql): Fragment;
  /** Selects the name before which a step ends; undefined: the part is one step. */
  stepEnd?(sql: Sql, after: Name): Fragment;
}

const parts: Part[] = [
  {
    kinds: ["entry"],
    rows: (sql) => sql`
      select tenant, 'entry' as kind, namespace as space, 1 as rows, 0 as versions, bytes,
        octet_length(metadata::text) as metadata_bytes
      from mutable`,
    stepEnd: (sql, { tenant, space }) => sql`
      select tenant, namespace as space from mutable where (tenant, namespace) > (${tenant}, ${space})
      order by tenant, namespace, key offset ${stepRows - 1} limit 1`,
  },
  {
    kinds: ["record", "reserved"],
    rows: (sql) => sql`
      select tenant, kind_of(type) as kind, type as space, case when erased then 0 else 1 end as rows, 0 as versions,
        0 as bytes, 0 as metadata_bytes
      from immutable
      union all
      select tenant, kind_of(type), type, 0, 1, coalesce(bytes, 0), octet_length(metadata::text) from immutable_version`,
    stepEnd: (sql, { tenant, space }) => sql`
      select tenant, type as space from immutable_version where (tenant, type) > (${tenant}, ${space})
      order by tenant, type, id, version offset ${stepRows - 1} limit 1`,
  },
  {
    kinds: ["user"],
    rows: (sql) => sql`
      select tenant, 'user' as kind, '' as space, 0 as rows, 0 as versions, octet_length(profile::text) as bytes,
        0 as metadata_bytes
      from users`,
  },
];

const beginning: Name = { tenant: "", space: "" };

export function firstCount(): Rewrite {
  const rest = [...parts];
  let after = beginning;
  return async (sql): Promise<Batch> => {
    const [part] = rest;
    if (!part) return { rows: 0, more: false };
    const [end] = part.stepEnd ? await sql<Name[]>`${part.stepEnd(sql, after)}` : [];
    const rows = await count(sql, part, part.stepEnd && after, end);
    after = end ?? beginning;
    if (!end) rest.shift();
    return { rows, more: rest.length > 0 };
  };
}

/** Adds to the sums what they lack of the rows after one name up to another. Gives how many rows it counted. */
async function count(
  sql: Sql,
  { kinds, rows }: Part,
  after: Name | undefined,
  end: Name | undefined,
): Promise<number> {
  const inStep = () => sql`
    true ${after ? sql`and (tenant, space) > (${after.tenant}, ${after.space})` : sql``}
    ${end ? sql`and (tenant, space) <= (${end.tenant}, ${end.space})` : sql``}`;
  const [row] = await sql<{ rows: string }[]>`
    with counted as materialized (
      select tenant, kind, space, sum(rows) as rows, sum(versions) as versions, sum(bytes) as bytes,
        sum(metadata_bytes) as metadata_bytes
      from (${rows(sql)}) as r where ${inStep()} group by tenant, kind, space
    ), known as (
      select tenant, kind, space, sum(rows) as rows, sum(versions) as versions, sum(bytes) as bytes,
        sum(metadata_bytes) as metadata_bytes
      from (
        select * from usage where space <> '' or kind = 'user'
        union all select * from usage_delta
      ) as u
      where kind = any(${kinds}::text[]) and ${inStep()} group by tenant, kind, space
    ), added as (
      insert into usage_delta (tenant, kind, space, rows, versions, bytes, metadata_bytes)
      select * from (
        select tenant, kind, space, coalesce(counted.rows, 0) - coalesce(known.rows, 0) as rows,
          coalesce(counted.versions, 0) - coalesce(known.versions, 0) as versions,
          coalesce(counted.bytes, 0) - coalesce(known.bytes, 0) as bytes,
          coalesce(counted.metadata_bytes, 0) - coalesce(known.metadata_bytes, 0) as metadata_bytes
        from counted full join known using (tenant, kind, space)
      ) as lacking
      where rows <> 0 or versions <> 0 or bytes <> 0 or metadata_bytes <> 0
    )
    select coalesce(sum(rows + versions), 0) as rows from counted`;
  return Number(row?.rows ?? 0);
}
