// The previous versions that a record carries in a reply: at most the last 100 before its current version,
// and only as many as fit a limit of bytes.
import type { Run } from "../../postgres/connection.js";
import { byteWindow, inOrder, sizedRow } from "../keyset.js";
import { columns, type RecordRow, retained, type VersionRow, wireSize } from "./version.js";

export const versionsMax = 100;
export const historyBytesMax = 1024 * 1024;
export const listHistoryBytesMax = 512 * 1024; // so that a message with its records stays below 4 MiB

/** The versions before `version` of each record, oldest first. All together take at most about `bytesMax`. */
export async function previousVersions(
  run: Run,
  tenant: string,
  records: Pick<RecordRow, "type" | "id" | "version">[],
  bytesMax: number,
): Promise<VersionRow[][]> {
  const rows = await run<VersionRow & { number: string }>(
    (sql) => sql`
      with page as (
        select v.*, asked.number, ${sizedRow(sql, wireSize(sql))}
        from unnest(
          ${records.map((r) => r.type)}::text[], ${records.map((r) => r.id)}::text[], ${records.map((r) => r.version)}::int[]
        ) with ordinality as asked (type, id, version, number)
        cross join lateral (
          select v.* from immutable h join immutable_version v on ${retained(sql)}
          where h.tenant = ${tenant} and h.type = asked.type and h.id = asked.id and v.version < asked.version
          order by v.version desc limit ${versionsMax}
        ) as v
        ${inOrder(sql, sql`asked.number, v.version desc`)}
      ), v as (${byteWindow(sql, bytesMax)})
      select v.number, ${columns(sql)} from v order by v.number, v.version`,
  );
  const previous = records.map((): VersionRow[] => []);
  for (const row of rows) previous[Number(row.number) - 1]?.push(row);
  return previous;
}
