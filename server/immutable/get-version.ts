import type { GetVersionRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../call.js";
import * as check from "../checks.js";
import { columns, kept, ofRecord, toVersion, type VersionRow } from "../versions.js";
import { nameOf } from "./name.js";

export async function getVersion(request: GetVersionRequest, { tenant, run }: Call) {
  const { type, id } = nameOf(tenant, request);
  const version = check.version(request.version);
  const [row] = await run<VersionRow>(
    (sql) => sql`
      select ${columns(sql)} from immutable h join immutable_version v on ${kept(sql)}
      where ${ofRecord(sql, tenant, type, id)} and v.version = ${version}`,
  );
  return row ? { version: toVersion(row) } : {};
}
