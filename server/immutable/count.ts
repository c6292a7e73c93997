import type { CountRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { recordsOf } from "../storage/usage/usage.js";
import { filtersOnlyTypes, matches, parseFilter } from "../storage/versions/filter.js";

export async function count(request: CountRequest, { caller, db, server }: Call) {
  const filter = parseFilter(caller, request.filter);
  const bySum = server.usageIsKnown && filtersOnlyTypes(filter);
  const [row] = await db.scans<{ count: string }>((sql) =>
    bySum
      ? sql`select ${recordsOf(sql, filter)} as count`
      : sql`select count(*) as count from immutable h where ${matches(sql, filter, server.hasFormerRecords)}`,
  );
  return { count: BigInt(row?.count ?? 0) };
}
