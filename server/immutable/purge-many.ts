import type { PurgeManyRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Sql } from "../postgres/connection.js";
import { auditDigest } from "../storage/audit/audit.js";
import { purge } from "../storage/audit/purge.js";
import { ownersOf, recordPurgeEntry } from "../storage/audit/purge-of-records.js";
import { parseGuard } from "../storage/claims/guard.js";
import { idempotencyKey, type Work } from "../storage/idempotency.js";
import {
  filtersMetadata,
  isFiltered,
  matches,
  parseFilter,
  type RecordFilter,
} from "../storage/versions/filter.js";
import * as check from "../validation/fields.js";

const recordsShownMax = 1000;

interface Purged {
  records: number;
  versions: number;
  shown: { type: string; id: string }[] | null;
  token: string;
  user: string | null;
}

export async function purgeMany(request: PurgeManyRequest, call: Call) {
  const { tenant } = call.caller;
  const filter = parseFilter(call.caller, request.filter);
  const { dryRun, requireConfirmation, confirmationToken: token } = request;
  check.exclusive("confirmation_token", token !== undefined, "dry_run", dryRun);
  if (!isFiltered(filter))
    throw new CortexError("INVALID_FILTER", { field: "filter", problem: "is empty" });
  if (token !== undefined && !/^[0-9a-f]{64}$/.test(token))
    throw new CortexError("CONFIRMATION_STALE");
  const asksForToken = requireConfirmation && token === undefined;
  const deletes = !dryRun && !asksForToken;
  const identity = [filter, dryRun, requireConfirmation, token];
  const work = (sql: Sql): Work => ({
    // The token covers the digests of the current versions that match, so it stands for exactly these
    // versions.
    steps: sql`matched as materialized (
        select h.type, h.id, h.version - h.first_version + 1 as versions, h.digest
        from immutable h where ${matches(sql, filter)}
        order by h.type, h.id ${deletes ? sql`for update` : sql``}
      ), seen as materialized (
        select encode(sha256(coalesce(string_agg(digest, ''::bytea order by type, id), '')), 'hex') as token from matched
      ), agreed as materialized (
        select token from seen where ${token ?? null}::text is null or token = ${token ?? null}
      ), deleted as (
        delete from immutable h using matched m, agreed
        where ${deletes ? sql`h.tenant = ${tenant} and h.type = m.type and h.id = m.id` : sql`false`}
      ), shown as (
        select type, id from matched order by type, id limit ${recordsShownMax}
      ), ${ownersOf(sql, tenant, sql`matched`)}`,
    reply: sql`
      select array(select user_id from owner join shown using (type, id) union select id from only_user where id is not null) as user_ids,
        json_build_object(
        'records', (select count(*) from matched), 'versions', (select coalesce(sum(versions), 0) from matched),
        'shown', (select coalesce(json_agg(json_build_object('type', type, 'id', id) order by type, id), '[]') from shown),
        'user', (select id from only_user), 'token', token) as reply
      from agreed`,
  });
  const purged = await purge<Purged>(call, {
    key: idempotencyKey(request.requestId, "Immutable/PurgeMany", identity),
    guard: parseGuard(tenant, request.claim),
    dryRun: !deletes,
    work,
    auditEntry: ({ records, versions, user }) =>
      records > 0
        ? recordPurgeEntry("PurgeMany", namesIn(filter), { records, versions }, user)
        : undefined,
  });
  if (!purged) throw new CortexError("CONFIRMATION_STALE");
  return {
    recordsAffected: BigInt(purged.records),
    versionsDeleted: BigInt(purged.versions),
    records: purged.shown ?? [],
    dryRun,
    ...(asksForToken && { confirmationToken: purged.token }),
  };
}

/** The filter as the audit trail may show it: no metadata, and the user as a digest. */
function namesIn({ tenant, scope, userId, metadata, tags, anyTags, types, ...rest }: RecordFilter) {
  return {
    ...rest,
    ...(types.length > 0 && { types }),
    ...(filtersMetadata({ metadata, tags, anyTags }) && { metadata: true }),
    ...(userId !== undefined && { user: auditDigest(tenant, userId) }),
  };
}
