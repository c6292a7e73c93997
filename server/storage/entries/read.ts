// Reads several entries as of one moment, for BatchGet and for transactions.
import { CortexError } from "../../errors/reasons.js";
import type { Run } from "../../postgres/connection.js";
import * as check from "../../validation/fields.js";
import { columns, type EntryKey, type EntryRow, joinAccess, live, toRecord } from "./entry.js";

// The most that names, times and numbers of a record take on the wire.
const overheadBytes = check.namespaceBytesMax + check.keyBytesMax + check.userIdBytesMax + 256;

/** Reads the entries of the keys, in the order of the keys. All keys are of one tenant. */
export async function readEntries(run: Run, keys: EntryKey[], bytesMax: number) {
  const { tenant = "" } = keys[0] ?? {};
  // The statement sums the sizes first. If the reply would be too large, it returns only the sum, and reads
  // no value.
  const rows = await run<EntryRow & { reply_bytes: string; number: string | null }>(
    (sql) => sql`
      with m as materialized (
        select m.*, asked.number
        from unnest(
          ${keys.map(({ namespace }) => namespace)}::text[], ${keys.map(({ key }) => key)}::text[]
        ) with ordinality as asked (namespace, key, number)
        join mutable m on m.tenant = ${tenant} and m.namespace = asked.namespace and m.key = asked.key and ${live(sql)}
      ), reply as (
        select coalesce(sum(bytes + octet_length(metadata::text) + ${overheadBytes}::int), 0) as bytes from m
      )
      select reply.bytes as reply_bytes, m.number, ${columns(sql)}
      from reply left join m on reply.bytes <= ${bytesMax} ${joinAccess(sql)}`,
  );
  const bytes = rows[0]?.reply_bytes;
  if (Number(bytes) > bytesMax)
    throw new CortexError("REPLY_TOO_LARGE", { limit: `${bytesMax}`, got: `${bytes}` });
  const found = new Map(rows.map((row) => [Number(row.number), row]));
  return keys.map((_, i) => {
    const row = found.get(i + 1);
    return row ? { record: toRecord(row) } : {};
  });
}
