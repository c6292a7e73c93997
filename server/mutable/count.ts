import type { CountRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { isFiltered, matches, parseFilter } from "../storage/entries/filter.js";
import { entriesIn } from "../storage/usage/usage.js";

export async function count(request: CountRequest, { caller, db, server }: Call) {
  const { tenant } = caller;
  const filter = parseFilter(tenant, request.namespace, request.filter);
  if (filter.lastAccessedBefore) await server.access.settle(tenant, filter.namespace);
  const bySum = server.usageIsKnown && !isFiltered(filter);
  const [row] = await db.scans<{ count: string }>((sql) =>
    bySum
      ? sql`select ${entriesIn(sql, filter)} as count`
      : sql`select count(*) as count from mutable m where ${matches(sql, filter)}`,
  );
  return { count: BigInt(row?.count ?? 0) };
}
