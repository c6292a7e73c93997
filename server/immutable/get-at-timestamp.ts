import type { GetAtTimestampRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { CortexError } from "../errors.js";
import { columns, ofRecord, toVersion, type VersionRow } from "../versions.js";
import { nameOf } from "./get.js";

export async function getAtTimestamp(request: GetAtTimestampRequest, { tenant, run }: Call) {
  const { type, id } = nameOf(tenant, request);
  if (!request.time)
    throw new CortexError("INVALID_TIME", { field: "time", problem: "is missing" });
  const time = check.time(request.time, "time", Math.floor, "INVALID_TIME");
  const [row] = await run<VersionRow>(
    (sql) => sql`
      select ${columns(sql)}
      from immutable h
      cross join lateral (
        select v.* from immutable_version v
        where v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version >= h.first_version and v.created_at <= ${time}
        order by v.created_at desc limit 1
      ) as v
      where ${ofRecord(sql, tenant, type, id)} and v.data is not null`,
  );
  return row ? { version: toVersion(row) } : {};
}
