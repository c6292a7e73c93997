import type { CountRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { checkFilter, matches } from "../storage/versions/filter.js";

export async function count(request: CountRequest, { tenant, bulk }: Call) {
  const matching = checkFilter(tenant, request.filter);
  const [row] = await bulk<{ count: string }>(
    (sql) => sql`select count(*) as count from immutable h where ${matches(sql, matching)}`,
  );
  return { count: BigInt(row?.count ?? 0) };
}
