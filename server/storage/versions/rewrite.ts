// Rewrites what records are found by, if an older release stored it: the work of migration 0010.
import { setImmediate } from "node:timers/promises";
import type { Rewrite } from "../../postgres/background-migrations.js";
import type { Sql } from "../../postgres/connection.js";
import { type InputRow, recordset } from "../../postgres/recordset.js";
import { comparable, fieldsOf } from "../../search/fields.js";
import type { Language } from "../../search/language.js";
import { searchable, unicodeVersion } from "../../search/searchable.js";
import { parseExactly } from "../../validation/exact-json.js";

const batchMax = 100;
const batchBytesMax = 1024 * 1024; // of data; one record may have more

const columns = {
  tenant: "text",
  type: "text",
  id: "text",
  labels: "text",
  text: "text",
  words: "text[]",
  lines: "int[]",
  positions: "text[]",
  letters: "text[]",
  metadata_text: "text",
  metadata_words: "text[]",
  metadata_lines: "int[]",
  metadata_positions: "text[]",
  metadata_letters: "text[]",
} as const;

const rewritten = recordset("found", columns);

interface Name {
  tenant: string;
  type: string;
  id: string;
}

interface Row extends Name {
  metadata: string;
  /** False if no version of it was given any. */
  has_metadata: boolean;
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
      const rows = await lock(sql, batch);
      areLocked ||= rows.length < batch.length;
      const found = [];
      for (const row of rows) {
        found.push(rewrite(row));
        await setImmediate(); // calls come first
      }
      await sql`
        update immutable h set unicode = ${unicodeVersion}, labels = found.labels::jsonb, data_text = found.text,
          data_words = search_words(${dictionaries}::int[], found.words, lines, positions, letters),
          metadata_text = found.metadata_text,
          metadata_words = search_words(${dictionaries}::int[], found.metadata_words, metadata_lines, metadata_positions, metadata_letters)
        from ${rewritten(sql, found)}
        where h.tenant = found.tenant and h.type = found.type and h.id = found.id`;
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

/** Locks those of the records that nobody else has locked, and reads them. */
const lock = (sql: Sql, names: Name[]) => sql<Row[]>`
  select h.tenant, h.type, h.id, h.metadata::text as metadata, h.metadata_text is not null as has_metadata, v.data::text as data
  from json_to_recordset(${JSON.stringify(names)}::text::json) as name (tenant text, type text, id text)
  join immutable h on h.tenant = name.tenant and h.type = name.type and h.id = name.id and h.unicode is null
  left join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version
  for no key update of h skip locked`;

function rewrite({
  tenant,
  type,
  id,
  data,
  metadata,
  has_metadata,
}: Row): InputRow<typeof columns> {
  const labels = parseExactly(metadata);
  const own = searchable(data === null ? [] : fieldsOf(parseExactly(data), ""));
  const inherited = has_metadata ? searchable(fieldsOf(labels, "")) : undefined;
  return {
    tenant,
    type,
    id,
    labels: comparable(labels),
    ...own,
    metadata_text: inherited?.text,
    metadata_words: inherited?.words,
    metadata_lines: inherited?.lines,
    metadata_positions: inherited?.positions,
    metadata_letters: inherited?.letters,
  };
}
