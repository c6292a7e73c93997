import type { ExportRequest } from "../../gen/cortex/scopes/v1/scopes_pb.js";
import type { Call } from "../grpc/call.js";
import { claims, entries, exportRows, streamEntries, versions } from "../storage/export.js";
import { isIn, rangeOf } from "../storage/name-range.js";

export async function* exportScope(_request: ExportRequest, call: Call) {
  const range = rangeOf(call.caller);
  yield* exportRows(call, entries, (sql) => isIn(sql, sql`m.namespace`, range));
  yield* exportRows(call, versions, (sql) => isIn(sql, sql`v.type`, range));
  yield* exportRows(call, claims, (sql) => isIn(sql, sql`c.name`, range));
  // Stream by stream: no index has the entries in the order of the streams' names.
  const { tenant } = call.caller;
  for (let after = range.low; ; ) {
    const [stream] = await call.db.scans<{ id: string; name: string }>(
      (sql) => sql`
        select s.id, s.name from stream s
        where s.tenant = ${tenant} and ${isIn(sql, sql`s.name`, range)} and s.name > ${after}
        order by s.name limit 1`,
    );
    if (!stream) return;
    yield* exportRows(call, streamEntries, (sql) => sql`e.stream_id = ${stream.id}::bigint`);
    after = stream.name;
  }
}
