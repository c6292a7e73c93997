// The data and metadata of versions that stored replies leave out because they are large.
import type { Run } from "../../postgres/connection.js";
import type { RecordRow } from "./version.js";

/**
 * Fills in the data and metadata that a stored reply left out, where the version is still kept. What cannot be
 * filled in stays `omitted`.
 */
export async function fillOmitted(run: Run, tenant: string, rows: RecordRow[]): Promise<void> {
  const omitted = rows.filter((row) => row.omitted);
  if (omitted.length === 0) return;
  const found = await run<Pick<RecordRow, "digest" | "data" | "metadata">>(
    (sql) => sql`
      select v.digest, v.data, v.metadata
      from unnest(
        ${omitted.map((row) => row.type)}::text[], ${omitted.map((row) => row.id)}::text[], ${omitted.map((row) => row.version)}::int[]
      ) as asked (type, id, version)
      cross join lateral (
        select encode(v.digest, 'hex') as digest, v.data::text as data, v.metadata::text as metadata from immutable_version v
        where v.tenant = ${tenant} and v.type = asked.type and v.id = asked.id and v.version = asked.version and v.data is not null
        offset 0
      ) as v`,
  );
  // A record that was purged and stored again has the same numbers with other digests.
  const byDigest = new Map(found.map((row) => [row.digest, row]));
  for (const row of omitted) {
    const kept = byDigest.get(row.digest);
    if (kept) Object.assign(row, kept, { omitted: false });
  }
}
