import type { GetRecordRequest } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Call } from "../grpc/call.js";
import { at, columns, joinAccess, type Row, toRecord } from "../storage/entries/entry.js";
import * as check from "../validation/fields.js";

export async function getRecord(request: GetRecordRequest, { tenant, run, access }: Call) {
  const namespace = check.namespace(request.namespace);
  const key = check.key(request.key);
  await access.settle(tenant, namespace, key);
  const [row] = await run<Row>(
    (sql) => sql`
      select ${columns(sql)} from mutable m ${joinAccess(sql)}
      where ${at(sql, tenant, namespace, key)}`,
  );
  return row ? { record: toRecord(row) } : {};
}
