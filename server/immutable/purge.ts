import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { PurgeRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../call.js";
import { now } from "../connection.js";
import { once, requestKey } from "../request.js";
import { ofRecord } from "../versions.js";
import { nameOf } from "./name.js";

interface Purged {
  versions: number;
  at: number;
}

export async function purge(request: PurgeRequest, { tenant, purges }: Call) {
  const { type, id } = nameOf(tenant, request);
  const key = requestKey(request.requestId, "Immutable/Purge", [type, id]);
  const purged = await once<Purged>(purges, tenant, key, (sql) => ({
    steps: sql`gone as materialized ( -- its versions go with it, also those that others have stored meanwhile
      delete from immutable h where ${ofRecord(sql, tenant, type, id)} returning h.version - h.first_version + 1 as versions)`,
    reply: sql`
      select '{}'::text[] as user_ids, json_build_object(
        'versions', coalesce(sum(versions), 0), 'at', (extract(epoch from ${now(sql)}) * 1000)::bigint) as reply
      from gone`,
  }));
  const { versions, at } = purged as Purged;
  return {
    deleted: versions > 0,
    type,
    id,
    versionsDeleted: BigInt(versions),
    purgeTime: timestampFromMs(at),
  };
}
