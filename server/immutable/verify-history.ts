import {
  HistoryProblem_Kind as Kind,
  type VerifyHistoryRequest,
} from "../../gen/cortex/immutable/v1/immutable_pb.js";
import type { Call } from "../grpc/call.js";
import { parseName } from "../storage/versions/name.js";
import { isRecord } from "../storage/versions/version.js";

const problemsMax = 100;

interface Verified {
  version: number;
  first_version: number;
  digest: string;
  versions: string;
  erased: string;
  problems: { version: number; kind: keyof typeof Kind }[];
}

export async function verifyHistory(request: VerifyHistoryRequest, { caller, db }: Call) {
  const name = parseName(caller, request);
  const [found] = await db.scans<Verified>(
    (sql) => sql`
      with h as materialized (
        select h.* from immutable h where ${isRecord(sql, name)}
      ), v as materialized (
        select v.version, v.data is null and v.metadata::text = '{}' and v.salt = ''
            and coalesce(v.user_id, v.agent_id, v.principal, v.request_id) is null as erased, v.digest, v.previous_digest, h.version as last_version,
          lag(v.version) over chain as version_before, lag(v.digest) over chain as digest_before,
          version_digest(v.previous_digest, array[v.tenant, v.type, v.id, v.version::text,
            (extract(epoch from v.created_at) * 1000)::bigint::text, v.data::text, v.metadata::text, v.user_id, v.agent_id,
            v.principal, v.request_id, v.salt]) as digest_made,
          v.version = h.version and (v.digest, v.metadata::text, v.created_at, v.user_id)
            is distinct from (h.digest, h.metadata::text, h.created_at, h.user_id)
          or v.version = 1 and v.created_at <> h.first_created_at as other_record
        from h join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version >= h.first_version
        window chain as (order by v.version)
      ), problem as (
        select version, case
            when version > last_version then 'UNKNOWN'
            when other_record or (not erased and digest_made <> digest) then 'ALTERED'
            when (version = 1 and previous_digest <> '') or (version_before = version - 1 and digest_before <> previous_digest)
              then 'UNLINKED'
          end as kind
        from v
        union all
        select missing, 'MISSING'
        from h cross join generate_series(h.first_version, h.version) as missing
        where not exists (select from v where v.version = missing)
      )
      select h.version, h.first_version, encode(h.digest, 'hex') as digest,
        (select count(*) from v) as versions, (select count(*) from v where erased) as erased,
        (select coalesce(json_agg(json_build_object('version', version, 'kind', kind) order by version), '[]')
          from (select * from problem where kind is not null order by version limit ${problemsMax}) as problem) as problems
      from h`,
  );
  if (!found) return { valid: true };
  return {
    valid: found.problems.length === 0,
    versions: BigInt(found.versions),
    firstVersion: found.first_version,
    currentVersion: found.version,
    digest: found.digest,
    problems: found.problems.map(({ version, kind }) => ({ version, kind: Kind[kind] })),
    erased: BigInt(found.erased),
  };
}
