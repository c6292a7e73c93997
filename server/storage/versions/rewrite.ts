// Rewrites what records are found by, if an older release stored it: the work of migration 0010.
import { setImmediate } from "node:timers/promises";
import type { Rewrite } from "../../postgres/background-migrations.js";
import type { Sql } from "../../postgres/connection.js";
import { type InputRow, recordset } from "../../postgres/recordset.js";
import type { Language } from "../../search/language.js";
import { unicodeVersion } from "../../search/searchable.js";
import { parseExactly } from "../../validation/exact-json.js";
import { searchColumns, searchInput, searchVectors } from "./search-input.js";

const batchMax = 100;
const batchBytesMax = 1024 * 1024; // of data; one record may have more

const columns = { tenant: "text", type: "text", id: "text", ...searchColumns } as const;

const rewritten = recordset("input", columns);

interface Name {
  tenant: string;
  type: string;
  id: string;
}

interface Row extends Name {
  metadata: string;
  /** null: it has no current version. */
  data: string | null;
}

const beginning: Name = { tenant: "", type: "", id: "" };

/** Rewrites the records in the order of their names, and those that were locked once more at the end. */
export function rewriteRecords({ dictionaries }: Language): Rewrite {
  let last = beginning;
  let areLocked = false;
  return (connection) =>
    connection.begin(async (transaction) => {
      const sql = transaction as unknown as Sql;
      const batch = await nextBatch(sql, last);
      const end = batch.at(-1);
      if (!end) {
        const more = areLocked;
        last = beginning;
        areLocked = false;
        return { rows: 0, more };
      }
      last = end;
      const locked = await lock(sql, batch);
      areLocked ||= locked.length < batch.length;
      const rows = await read(sql, locked);
      const found = [];
      for (const row of rows) {
        found.push(rewrite(row));
        await setImmediate(); // calls come first
      }
      const vectors = searchVectors(sql, sql`${dictionaries}::int[]`);
      await sql`
        update immutable h set unicode = ${unicodeVersion}, labels = input.labels::jsonb,
          data_text = input.text, data_words = ${vectors.data},
          metadata_text = case when h.metadata_text is not null then input.metadata_text end,
          metadata_words = case when h.metadata_text is not null then ${vectors.metadata} end
        from ${rewritten(sql, found)}
        where h.tenant = input.tenant and h.type = input.type and h.id = input.id`;
      return { rows: rows.length, more: true };
    });
}

/** The names of the next records. */
const nextBatch = (sql: Sql, { tenant, type, id }: Name) => sql<Name[]>`
  select tenant, type, id
  from (
    select h.tenant, h.type, h.id, sum(v.bytes) over (order by h.tenant, h.type, h.id rows between unbounded preceding and 1 preceding) as before
    from (
      select h.tenant, h.type, h.id, h.version from immutable h
      where (h.tenant, h.type, h.id) > (${tenant}, ${type}, ${id}) and h.unicode is null
      order by h.tenant, h.type, h.id limit ${batchMax}
    ) as h
    left join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version
  ) as h
  where coalesce(before, 0) < ${batchBytesMax}
  order by tenant, type, id`;

/** Locks those of the records that nobody else has locked. */
const lock = (sql: Sql, names: Name[]) => sql<Name[]>`
  select h.tenant, h.type, h.id
  from ${namedIn(sql, names)}
  join immutable h on h.tenant = name.tenant and h.type = name.type and h.id = name.id and h.unicode is null
  for no key update of h skip locked`;

/** Reads the locked records. The statement that locked them may not see the version that was stored last. */
const read = (sql: Sql, names: Name[]) => sql<Row[]>`
  select h.tenant, h.type, h.id, h.metadata::text as metadata, v.data::text as data
  from ${namedIn(sql, names)}
  join immutable h on h.tenant = name.tenant and h.type = name.type and h.id = name.id
  left join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version`;

const namedIn = (sql: Sql, names: Name[]) =>
  sql`json_to_recordset(${JSON.stringify(names)}::text::json) as name (tenant text, type text, id text)`;

const rewrite = ({ data, metadata, ...name }: Row): InputRow<typeof columns> => ({
  ...name,
  ...searchInput(data === null ? {} : parseExactly(data), parseExactly(metadata)),
});
