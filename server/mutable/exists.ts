import type { ExistsRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { at } from "../storage/entries/entry.js";
import * as check from "../validation/fields.js";

export async function exists(request: ExistsRequest, { tenant, run }: Call) {
  const namespace = check.namespace(request.namespace);
  const key = check.key(request.key);
  const found = await run(
    (sql) => sql`select from mutable m where ${at(sql, tenant, namespace, key)}`,
  );
  return { exists: found.length > 0 };
}
