// The versions before the current one, as a record carries them: the last 100, as many of them as fit.
import type { Run } from "../../postgres/connection.js";
import { columns, type RecordRow, retained, size, type VersionRow } from "./version.js";

export const versionsMax = 100;
export const historyBytesMax = 1024 * 1024;
export const listHistoryBytesMax = 512 * 1024; // so that a message with its records stays below 4 MiB

/** The versions before those of the records, which together take about `bytesMax`. */
export async function pastOf(
  run: Run,
  tenant: string,
  records: Pick<RecordRow, "type" | "id" | "version">[],
  bytesMax: number,
): Promise<VersionRow[][]> {
  const rows = await run<VersionRow & { number: string }>(
    (sql) => sql`
      select v.number, ${columns(sql)}
      from (
        select v.*, asked.number,
          sum(${size(sql)}) over (order by asked.number, v.version desc) - ${size(sql)} as bytes_before
        from unnest(
          ${records.map((r) => r.type)}::text[], ${records.map((r) => r.id)}::text[], ${records.map((r) => r.version)}::int[]
        ) with ordinality as asked (type, id, version, number)
        cross join lateral (
          select v.* from immutable h join immutable_version v on ${retained(sql)}
          where h.tenant = ${tenant} and h.type = asked.type and h.id = asked.id and v.version < asked.version
          order by v.version desc limit ${versionsMax}
        ) as v
      ) as v
      where v.bytes_before < ${bytesMax}
      order by v.number, v.version`,
  );
  const past = records.map((): VersionRow[] => []);
  for (const row of rows) past[Number(row.number) - 1]?.push(row);
  return past;
}
