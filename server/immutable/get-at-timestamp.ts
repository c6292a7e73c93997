import type { GetAtTimestampRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { nameOf } from "../storage/versions/name.js";
import {
  columns,
  isRecord,
  retained,
  toVersion,
  type VersionRow,
  versionAt,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

export async function getAtTimestamp(request: GetAtTimestampRequest, { tenant, run }: Call) {
  const { type, id } = nameOf(tenant, request);
  if (!request.time)
    throw new CortexError("INVALID_TIME", { field: "time", problem: "is missing" });
  const time = check.time(request.time, "time", Math.floor, "INVALID_TIME");
  const [row] = await run<VersionRow>(
    (sql) => sql`
      select ${columns(sql)} from immutable h join immutable_version v on ${retained(sql)}
      where ${isRecord(sql, tenant, type, id)} and v.version = ${versionAt(sql, time)}`,
  );
  return row ? { version: toVersion(row) } : {};
}
