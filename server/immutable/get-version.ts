import type { GetVersionRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { nameOf } from "../storage/versions/name.js";
import {
  columns,
  isRecord,
  retained,
  toVersion,
  type VersionRow,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

export async function getVersion(request: GetVersionRequest, { tenant, run }: Call) {
  const { type, id } = nameOf(tenant, request);
  const version = check.version(request.version);
  const [row] = await run<VersionRow>(
    (sql) => sql`
      select ${columns(sql)} from immutable h join immutable_version v on ${retained(sql)}
      where ${isRecord(sql, tenant, type, id)} and v.version = ${version}`,
  );
  return row ? { version: toVersion(row) } : {};
}
