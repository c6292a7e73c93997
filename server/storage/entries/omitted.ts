// The values that stored replies leave out because they are large.
import type { Run } from "../../postgres/connection.js";
import type { EntryRow } from "./entry.js";
import { live } from "./entry.js";
import type { Result } from "./reply.js";

/**
 * Fills in the values and metadata that a stored reply left out, where the entry is still at the revision of
 * the reply. What cannot be filled in stays `omitted`.
 */
export async function fillOmitted(run: Run, tenant: string, results: Result[]): Promise<void> {
  const omitted = results.flatMap(({ row }) => (row?.omitted ? row : []));
  if (omitted.length === 0) return;
  const rows = await run<Pick<EntryRow, "revision" | "value" | "metadata">>(
    (sql) => sql`
      select m.revision, m.value, m.metadata
      from unnest(
        ${omitted.map((row) => row.namespace)}::text[], ${omitted.map((row) => row.key)}::text[], ${omitted.map((row) => row.revision)}::bigint[]
      ) as asked (namespace, key, revision)
      cross join lateral (
        select m.revision, m.value::text as value, m.metadata::text as metadata from mutable m
        where m.tenant = ${tenant} and m.namespace = asked.namespace and m.key = asked.key and m.revision = asked.revision and ${live(sql)}
        offset 0
      ) as m`,
  );
  const found = new Map(rows.map((row) => [row.revision, row]));
  for (const row of omitted) {
    const current = found.get(row.revision);
    if (current) Object.assign(row, current, { omitted: false });
  }
}
