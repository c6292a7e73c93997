// Measures the cost of the views that separate tenants, in the database alone: a select and an upsert by key,
// both through the views and on the tables themselves.
import { connect, indexPlans, tenantViews } from "../server/postgres/connection.js";
import { scopeText } from "../server/postgres/tenant-connection.js";
import { compare } from "./measure.js";

export async function barrier(url: string): Promise<void> {
  const pool = async (scope: object) => {
    const sql = connect(url, { max: 1, connection: { ...indexPlans, ...scope } });
    await sql`select set_config('cortex.tenants', ${scopeText([""])}, false)`;
    return sql;
  };
  const [views, tables] = [await pool(tenantViews), await pool({})];
  const get = (sql: typeof views) => () =>
    sql`
    select asked.number, m.* from unnest(array['']::text[], array['bench']::text[], array[${`k${n++ % 1000}`}]::text[])
      with ordinality as asked (tenant, namespace, key, number)
    cross join lateral (
      select m.value::text, m.revision from mutable m
      where m.tenant = asked.tenant and m.namespace = asked.namespace and m.key = asked.key offset 0
    ) as m`;
  const set = (sql: typeof views) => () =>
    sql`
    insert into mutable as m (tenant, namespace, key, value, created_at, updated_at, revision, created_revision)
    values ('', 'bench', ${`k${n++ % 1000}`}, '{"text":"value"}', now(), now(), nextval('revision'), 1)
    on conflict (tenant, namespace, key) do update set value = excluded.value, revision = excluded.revision`;
  let n = 0;
  const options = { count: 4000, concurrency: 1 };
  await compare(
    "a select by key",
    "through the view",
    get(views),
    "on the table",
    get(tables),
    options,
  );
  await compare(
    "an upsert by key",
    "through the view",
    set(views),
    "on the table",
    set(tables),
    options,
  );
  await views.end();
  await tables.end();
}
