// The versions before the current one, as a record carries them: the last 100, as many of them as fit.
import type { Run } from "../connection.js";
import { columns, kept, type Past, type RecordRow, size, type VersionRow } from "../versions.js";

export const versionsMax = 100;
export const historyBytesMax = 1024 * 1024;

/** The versions before those of the records, which together take about `bytesMax`. */
export async function pastOf(
  run: Run,
  tenant: string,
  records: Pick<RecordRow, "type" | "id" | "version">[],
  bytesMax: number,
): Promise<Past[]> {
  const rows = await run<VersionRow & { number: string; found: string }>(
    (sql) => sql`
      select v.number, v.found, ${columns(sql)}
      from (
        select v.*, asked.number, count(*) over (partition by asked.number) as found,
          sum(${size(sql)}) over (order by asked.number, v.version desc) - ${size(sql)} as bytes_before
        from unnest(
          ${records.map((r) => r.type)}::text[], ${records.map((r) => r.id)}::text[], ${records.map((r) => r.version)}::int[]
        ) with ordinality as asked (type, id, version, number)
        cross join lateral (
          select v.* from immutable h join immutable_version v on ${kept(sql)}
          where h.tenant = ${tenant} and h.type = asked.type and h.id = asked.id and v.version < asked.version
          order by v.version desc limit ${versionsMax + 1}
        ) as v
      ) as v
      where v.bytes_before < ${bytesMax}
      order by v.number, v.version`,
  );
  const past = records.map((): Past & { found: number } => ({
    versions: [],
    more: false,
    found: 0,
  }));
  for (const row of rows) {
    const of = past[Number(row.number) - 1] as Past & { found: number };
    of.versions.push(row);
    of.found = Number(row.found);
  }
  return past.map(({ versions, found }) => ({
    versions: versions.slice(-versionsMax),
    more: found > Math.min(versions.length, versionsMax),
  }));
}
