import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { PurgeRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { purging } from "../storage/audit/purge.js";
import { entryOf, usersOf } from "../storage/audit/record-purge.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { nameOf } from "../storage/versions/name.js";
import { isRecord } from "../storage/versions/version.js";

interface Purged {
  versions: number;
  at: number;
  user: string | null;
}

export async function purge(request: PurgeRequest, call: Call) {
  const { tenant } = call;
  const { type, id } = nameOf(tenant, request);
  const purged = await purging<Purged>(call, {
    request: idempotencyKey(request.requestId, "Immutable/Purge", [type, id]),
    work: (sql) => ({
      steps: sql`gone as materialized ( -- its versions go with it, also those that others have stored meanwhile
        delete from immutable h where ${isRecord(sql, tenant, type, id)} returning h.type, h.id, h.version - h.first_version + 1 as versions
      ), ${usersOf(sql, tenant, sql`gone`)}`,
      reply: sql`
        select array(select id from only_user where id is not null) as user_ids, json_build_object(
          'versions', coalesce((select sum(versions) from gone), 0), 'at', (extract(epoch from ${now(sql)}) * 1000)::bigint,
          'user', (select id from only_user)) as reply`,
    }),
    entry: ({ versions, user }) =>
      versions > 0 ? entryOf("Purge", { type, id }, { records: 1, versions }, user) : undefined,
  });
  const { versions, at } = purged as Purged;
  return {
    deleted: versions > 0,
    type,
    id,
    versionsDeleted: BigInt(versions),
    purgeTime: timestampFromMs(at),
  };
}
