import type { GetRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import * as check from "../checks.js";
import type { Call } from "../rpc.js";
import { at } from "./entry.js";

export async function get(request: GetRequest, { tenant, run, access }: Call) {
  const namespace = check.namespace(request.namespace);
  const key = check.key(request.key);
  const [found] = await run<{ value: string; revision: string; created_revision: string }>(
    (sql) => sql`
      select m.value::text as value, m.revision, m.created_revision
      from mutable m where ${at(sql, tenant, namespace, key)}`,
  );
  if (!found) return {};
  access.count(tenant, namespace, key, found.created_revision);
  return { valueJson: found.value, revision: found.revision };
}
