import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { PurgeRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { now } from "../postgres/connection.js";
import { purge as purgeOnce } from "../storage/audit/purge.js";
import { ownersOf, recordPurgeEntry } from "../storage/audit/purge-of-records.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey } from "../storage/idempotency.js";
import { parseName } from "../storage/versions/name.js";
import { isRecord } from "../storage/versions/version.js";

interface Purged {
  versions: number;
  at: number;
  user: string | null;
}

export async function purge(request: PurgeRequest, call: Call) {
  const name = parseName(call.caller, request);
  const { tenant, type, id } = name;
  const purged = await purgeOnce<Purged>(call, {
    key: idempotencyKey(request.requestId, "Immutable/Purge", [type, id]),
    guard: parseGuard(tenant, request.claim),
    work: (sql) => ({
      steps: sql`deleted as materialized ( -- its versions are deleted with it, also those stored meanwhile
        delete from immutable h where ${isRecord(sql, name)} returning h.type, h.id, h.version - h.first_version + 1 as versions
      ), ${ownersOf(sql, tenant, sql`deleted`)}`,
      reply: sql`
        select array(select id from only_user where id is not null) as user_ids, json_build_object(
          'versions', coalesce((select sum(versions) from deleted), 0), 'at', (extract(epoch from ${now(sql)}) * 1000)::bigint,
          'user', (select id from only_user)) as reply`,
    }),
    auditEntry: ({ versions, user }) =>
      versions > 0
        ? recordPurgeEntry("Purge", { type, id }, { records: 1, versions }, user)
        : undefined,
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
