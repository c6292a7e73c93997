import type { CountRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { checkFilter, matches } from "../storage/entries/filter.js";

export async function count(request: CountRequest, { tenant, bulk, access }: Call) {
  const matching = checkFilter(tenant, request.namespace, request.filter);
  if (matching.lastAccessedBefore) await access.settle(tenant, matching.namespace);
  const [row] = await bulk<{ count: string }>(
    (sql) => sql`select count(*) as count from mutable m where ${matches(sql, matching)}`,
  );
  return { count: BigInt(row?.count ?? 0) };
}
