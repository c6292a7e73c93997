import type { GetAtTimestampRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import { parseName } from "../storage/versions/name.js";
import {
  columns,
  isRecord,
  retained,
  toVersion,
  type VersionRow,
  versionAt,
} from "../storage/versions/version.js";
import * as check from "../validation/fields.js";

export async function getAtTimestamp(request: GetAtTimestampRequest, { caller, db }: Call) {
  const name = parseName(caller, request);
  if (!request.time)
    throw new CortexError("INVALID_TIME", { field: "time", problem: "is missing" });
  const time = check.time(request.time, "time", Math.floor, "INVALID_TIME");
  const [row] = await db.short<VersionRow>(
    (sql) => sql`
      select ${columns(sql)} from immutable h join immutable_version v on ${retained(sql)}
      where ${isRecord(sql, name)} and v.version = ${versionAt(sql, time)}`,
  );
  return row ? { version: toVersion(row) } : {};
}
