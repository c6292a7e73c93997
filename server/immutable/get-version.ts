import type { GetVersionRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { parseName } from "../storage/versions/name.js";
import {
  columns,
  isRecord,
  retained,
  toVersion,
  type VersionRow,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

export async function getVersion(request: GetVersionRequest, { caller, db }: Call) {
  const name = parseName(caller, request);
  const version = check.version(request.version);
  const [row] = await db.short<VersionRow>(
    (sql) => sql`
      select ${columns(sql)} from immutable h join immutable_version v on ${retained(sql)}
      where ${isRecord(sql, name)} and v.version = ${version}`,
  );
  return row ? { version: toVersion(row) } : {};
}
