import type { PurgeManyRequest } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { CortexError } from "../errors/reasons.js";
import type { Call } from "../grpc/call.js";
import type { Sql } from "../postgres/connection.js";
import { userDigest } from "../storage/audit/audit.js";
import { purging } from "../storage/audit/purge.js";
import { entryOf, usersOf } from "../storage/audit/record-purge.js";
import { idempotencyKey, type Work } from "../storage/idempotency.js";
import {
  byLabels,
  checkFilter,
  filters,
  type Matching,
  matches,
} from "../storage/versions/filter.js";
import * as check from "../validation/fields.js";

const recordsShownMax = 1000;

interface Purged {
  records: number;
  versions: number;
  shown: { type: string; id: string }[];
  token: string;
  user: string | null;
}

export async function purgeMany(request: PurgeManyRequest, call: Call) {
  const { tenant } = call;
  const matching = checkFilter(tenant, request.filter);
  const { dryRun, requireConfirmation, confirmationToken: token } = request;
  check.exclusive(["confirmation_token", token !== undefined], ["dry_run", dryRun]);
  if (!filters(matching))
    throw new CortexError("INVALID_FILTER", { field: "filter", problem: "is empty" });
  if (token !== undefined && !/^[0-9a-f]{64}$/.test(token))
    throw new CortexError("CONFIRMATION_STALE");
  const asking = requireConfirmation && token === undefined;
  const keeping = dryRun || asking;
  const asks = [matching, dryRun, requireConfirmation, token];
  const key = idempotencyKey(request.requestId, "Immutable/PurgeMany", asks);
  const work = (sql: Sql): Work => ({
    // The token is over the digests of what matches: of exactly these versions.
    steps: sql`matched as materialized (
        select h.type, h.id, h.version - h.first_version + 1 as versions, h.digest
        from immutable h where ${matches(sql, matching)}
        order by h.type, h.id ${keeping ? sql`` : sql`for update`}
      ), seen as materialized (
        select encode(sha256(coalesce(string_agg(digest, ''::bytea order by type, id), '')), 'hex') as token from matched
      ), agreed as materialized (
        select token from seen where ${token ?? null}::text is null or token = ${token ?? null}
      ), gone as (
        delete from immutable h using matched m, agreed
        where ${keeping ? sql`false` : sql`h.tenant = ${tenant} and h.type = m.type and h.id = m.id`}
      ), shown as (
        select type, id from matched order by type, id limit ${recordsShownMax}
      ), ${usersOf(sql, tenant, sql`matched`)}`,
    reply: sql`
      select array(select user_id from owner join shown using (type, id) union select id from only_user where id is not null) as user_ids,
        json_build_object(
        'records', (select count(*) from matched), 'versions', (select coalesce(sum(versions), 0) from matched),
        'shown', (select coalesce(json_agg(json_build_object('type', type, 'id', id) order by type, id), '[]') from shown),
        'user', (select id from only_user), 'token', token) as reply
      from agreed`,
  });
  const purged = await purging<Purged>(call, {
    request: key,
    dryRun: keeping,
    work,
    entry: ({ records, versions, user: owner }) =>
      records > 0
        ? entryOf("PurgeMany", askedOf(matching), { records, versions }, owner)
        : undefined,
  });
  if (!purged) throw new CortexError("CONFIRMATION_STALE");
  return {
    recordsAffected: BigInt(purged.records),
    versionsDeleted: BigInt(purged.versions),
    records: purged.shown,
    dryRun,
    ...(asking && { confirmationToken: purged.token }),
  };
}

/** The filter as the audit log may show it: of what it looks for in metadata only that it does, of a user only the digest. */
function askedOf({ tenant, userId, metadata, tags, anyTags, ...named }: Matching) {
  const { types, ...rest } = named;
  return {
    ...rest,
    ...(types.length > 0 && { types }),
    ...(byLabels({ metadata, tags, anyTags }) && { metadata: true }),
    ...(userId !== undefined && { user: userDigest(tenant, userId) }),
  };
}
