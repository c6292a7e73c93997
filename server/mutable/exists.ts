import type { ExistsRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { at } from "./entry.js";

export async function exists(request: ExistsRequest, { tenant, run }: Call) {
  const namespace = check.namespace(request.namespace);
  const key = check.key(request.key);
  const found = await run(
    (sql) => sql`select from mutable m where ${at(sql, tenant, namespace, key)}`,
  );
  return { exists: found.length > 0 };
}
