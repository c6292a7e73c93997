import type { GetHistoryRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { byteWindow, inOrder, type PageRow, pages, sizedRow } from "../storage/keyset.js";
import { historyBytesMax, versionsMax } from "../storage/versions/history.js";
import { parseName } from "../storage/versions/name.js";
import {
  columns,
  isRecord,
  retained,
  toVersion,
  type VersionRow,
  wireSize,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

export async function* getHistory(request: GetHistoryRequest, { caller, db }: Call) {
  const name = parseName(caller, request);
  const afterVersion = check.expectedVersion(request.afterVersion ?? 0, "after_version");
  const messages = pages<VersionRow & PageRow>({
    statementRowsMax: versionsMax,
    after: [`${afterVersion}`],
    positionOf: ({ version }) => [`${version}`],
    fetch: ({ after, limit }) =>
      db.scans(
        (sql) => sql`
          with page as (
            select v.*, ${sizedRow(sql, wireSize(sql))} from immutable h join immutable_version v on ${retained(sql)}
            where ${isRecord(sql, name)} and v.version > ${Number(after?.[0])}
            ${inOrder(sql, sql`v.version`)} order by v.version limit ${limit}
          ), v as (${byteWindow(sql, historyBytesMax)})
          select v.found, ${columns(sql)} from v order by v.version`,
      ),
  });
  for await (const { rows } of messages)
    if (rows.length > 0) yield { versions: rows.map(toVersion) };
}
