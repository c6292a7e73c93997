// The versions in pages, each one statement that goes on after the last version: a reader that stalls holds no connection.
import type { GetHistoryRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { historyBytesMax, versionsMax } from "../storage/versions/history.js";
import { nameOf } from "../storage/versions/name.js";
import {
  columns,
  isRecord,
  retained,
  size,
  toVersion,
  type VersionRow,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

export async function* getHistory(request: GetHistoryRequest, { tenant, bulk }: Call) {
  const { type, id } = nameOf(tenant, request);
  let after = check.expectedVersion(request.afterVersion ?? 0, "after_version");
  for (let more = true; more; ) {
    const rows = await bulk<VersionRow & { found: string }>(
      (sql) => sql`
        select v.found, ${columns(sql)}
        from (
          select v.*, count(*) over () as found, sum(${size(sql)}) over (order by v.version) - ${size(sql)} as bytes_before
          from (
            select v.* from immutable h join immutable_version v on ${retained(sql)}
            where ${isRecord(sql, tenant, type, id)} and v.version > ${after}
            order by v.version limit ${versionsMax + 1}
          ) as v
        ) as v
        where v.bytes_before < ${historyBytesMax}
        order by v.version`,
    );
    const versions = rows.slice(0, versionsMax);
    more = Number(rows[0]?.found ?? 0) > versions.length;
    after = versions.at(-1)?.version ?? after;
    if (versions.length > 0) yield { versions: versions.map(toVersion) };
  }
}
