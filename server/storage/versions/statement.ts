// The one statement that stores versions of distinct records. Its steps, in the order of the statement:
//   locked_record  locks the records, and reads what the next version follows from
//   judged         why a version is refused, if it is
//   next           the version to be stored
//   changed        the records that change, with the version before and all columns after
//   result         what became of each version
// It looks rows up by primary key in subqueries, which no plan can turn into a scan of a table.
import { type Fragment, now, type Sql } from "../../postgres/connection.js";
import { type InputRow, type Rows, recordset } from "../../postgres/recordset.js";
import { parameter, TextStatements } from "../../postgres/text.js";
import { unicodeVersion } from "../../search/searchable.js";
import { guards } from "../claims/guard.js";
import { type Locking, lockCreation, lockRequest, namesMax } from "../creation.js";
import { matching } from "../idempotency.js";
import type { StatementMode } from "../write-path.js";
import type { NewVersion } from "./new-version.js";
import { searchColumns, searchVectors } from "./search-input.js";

const inputColumns = {
  number: "int",
  tenant: "text",
  type: "text",
  id: "text",
  data: "text",
  keeps_user: "boolean",
  new_user: "text",
  new_metadata: "text",
  if_version: "int",
  agent: "text",
  principal: "text",
  request: "text",
  request_key: "text",
  fingerprint: "text",
  keep: "int",
  ...searchColumns,
} as const;

const versionRows = recordset("asked", inputColumns);

const inputOf = (version: NewVersion, number: number): InputRow<typeof inputColumns> => ({
  number,
  tenant: version.tenant,
  type: version.type,
  id: version.id,
  data: version.data,
  keeps_user: version.userId === undefined,
  new_user: version.userId,
  new_metadata: version.metadata === null ? "{}" : version.metadata,
  if_version: version.ifVersion,
  agent: version.agentId,
  principal: version.principal,
  request: version.requestId,
  request_key: version.idempotencyKey?.id,
  fingerprint: version.idempotencyKey?.fingerprint,
  keep: version.keep,
  ...version.search,
});

/** A row of the statement's answer. */
export interface StatementRow {
  cells: string;
  refusal:
    | "RECORD_LOCKED"
    | "TYPE_LOCKED"
    | "USER_LOCKED"
    | "REQUEST_LOCKED"
    | "CLAIM_LOCKED"
    | "FENCE_STALE"
    | "FOREIGN"
    | "VERSION_MISMATCH"
    | "USER_NOT_FOUND"
    | null;
  /** The user that the version refers to. */
  said_user: string | null;
  /** The version that the statement found; 0: no record. */
  version: number;
  /** The fingerprint and the reply that are stored under the request id. */
  repeats: string | null;
  reply: string | null;
}

const contentMax = 4096; // bytes of metadata that a stored reply keeps
const deletedMax = 100; // old versions that one store deletes; the sweep deletes the rest

/** The first version that is kept after a store, as the statement computes it. */
export const firstKept = (first: number, version: number, keep: number): number =>
  keep < 0 ? first : Math.max(first, Math.min(version - keep + 1, first + deletedMax));

const texts = new TextStatements();

export function statement(
  sql: Sql,
  versions: NewVersion[],
  { locking }: Pick<StatementMode, "locking">,
): Fragment {
  const requests = versions.some(({ idempotencyKey }) => idempotencyKey !== undefined);
  const many = versions.length > namesMax;
  const rows = versions.map(inputOf);
  // The language is the same for all versions.
  const dictionaries = versions[0]?.dictionaries ?? [[], [], []];
  // A statement that checks claims has their values in its parts.
  if (versions.some(({ guard }) => guard)) {
    const inputs = {
      rows,
      dictionaries: sql`${dictionaries}::int[]`,
      unicode: sql`${unicodeVersion}`,
    };
    return build(sql, { ...inputs, requests, many, guarded: versions }, locking);
  }
  const inputs = (parts: Sql) => ({
    rows: 1,
    dictionaries: parameter(parts, 2, "int[]"),
    unicode: parameter(parts, 3, "text"),
  });
  return texts.statement(
    sql,
    [locking, requests, many].join(),
    (parts) => build(parts, { ...inputs(parts), requests, many }, locking),
    [JSON.stringify(rows), dictionaries, unicodeVersion],
  );
}

interface Parts {
  rows: Rows<typeof inputColumns>;
  dictionaries: Fragment;
  unicode: Fragment;
  /** True if any version has a request id. */
  requests: boolean;
  /** True if it has more records than one statement locks by name. */
  many: boolean;
  /** The versions, if any has a guard. */
  guarded?: NewVersion[];
}

function build(
  sql: Sql,
  { rows, dictionaries, unicode, requests, many, guarded }: Parts,
  locking: Locking,
): Fragment {
  const skipLocked = locking === "try" ? sql`skip locked` : sql``;
  const vectors = searchVectors(sql, dictionaries);
  return sql`
    with ${guarded ? sql`guard as materialized (${guards(sql, guarded, locking === "try")}),` : sql``}
    locked_record as materialized (
      select asked.*, r.fingerprint as repeats, h.version, h.first_version, h.created_at, h.user_id, h.first_created_at, h.metadata, h.digest,
        h.tenant <> asked.tenant as "foreign",
        -- True if we could not lock the record, or if others stored while we waited for its lock: only the
        -- next statement sees their versions.
        h.digest is distinct from seen.digest as locked,
        case when h.digest is null then ${lockCreation(
          sql,
          "record",
          {
            tenant: sql`asked.tenant`,
            space: sql`asked.type`,
            name: sql`asked.id`,
            isNew: sql`true`,
            many,
          },
          locking,
        )} end as blocked,
        case when asked.fingerprint is not null then ${lockRequest(sql, { tenant: sql`asked.tenant`, id: sql`asked.request_key` }, locking)} end as request_blocked,
        said_user.id as said_user, u.id is not null as user_held,
        moment.at
      from ${versionRows(sql, rows)} ${guarded ? sql`join (select count(*) from guard) as guarded on true -- locked before records` : sql``}
      left join lateral (
        select h.digest from immutable h where h.tenant = asked.tenant and h.type = asked.type and h.id = asked.id offset 0
      ) as seen on true
      left join lateral (
        select h.* from immutable h where h.tenant = asked.tenant and h.type = asked.type and h.id = asked.id
        for no key update ${skipLocked}
      ) as h on true
      cross join lateral (
        select case when asked.keeps_user then h.user_id else asked.new_user end as id offset 0
      ) as said_user
      -- The user that the version will refer to. Its deletion locks it: to find that out by the foreign key, one would have to wait.
      left join lateral (
        select u.id from users u where u.tenant = asked.tenant and u.id = said_user.id for key share ${skipLocked}
      ) as u on true
      left join lateral (
        select ${matching(sql, sql`r.fingerprint`, sql`asked.fingerprint`)} as fingerprint
        from request r where r.tenant = asked.tenant and r.id = asked.request_key offset 0
      ) as r on ${requests ? sql`true` : sql`false`} and asked.fingerprint is not null
      cross join lateral ( -- evaluated once the record is locked
        select greatest(${now(sql)}, h.created_at + interval '1 millisecond')::timestamptz as at offset 0
      ) as moment
    ), judged as materialized (
      select locked_record.*, case
          when repeats is not null then 'REPEATED'
          when "foreign" then 'FOREIGN' -- the statement found the row of another tenant: see ownRow
          when request_blocked then 'REQUEST_LOCKED'
          ${guarded ? sql`when (select g.refusal from guard g where g.write = number) is not null then (select g.refusal from guard g where g.write = number)` : sql``}
          when locked or blocked = 'name' then 'RECORD_LOCKED'
          when blocked = 'space' then 'TYPE_LOCKED'
          when if_version is not null and if_version <> coalesce(version, 0) then 'VERSION_MISMATCH'
          when said_user is not null and not user_held then
            case when (select u.id from users u where u.tenant = locked_record.tenant and u.id = said_user) is null then 'USER_NOT_FOUND'
              else 'USER_LOCKED' end
        end as refusal
      from locked_record
    ), next as materialized (
      select judged.*, now.version as new_version, said.*, made.digest as new_digest, coalesce(judged.digest, ''::bytea) as previous_digest,
        case when keep < 0 then coalesce(first_version, 1)
          else greatest(coalesce(first_version, 1), least(now.version - keep + 1, first_version + ${deletedMax})) end as new_first,
        coalesce(first_created_at, at) as new_first_created_at
      from judged
      cross join lateral (
        select coalesce(judged.version, 0) + 1 as version,
          -- The times of the versions of a record are whole milliseconds and increase. So a second version
          -- within a millisecond waits for the next one, but at most 50 ms, as the clock may be set back.
          case when at > clock_timestamp() and refusal is null
            then pg_sleep(least(extract(epoch from at - clock_timestamp()), 0.05)::float8)::text end as slept
        offset 0
      ) as now
      cross join lateral (
        select
          coalesce(new_metadata, metadata::text, '{}') as said_metadata, gen_random_uuid()::text as salt offset 0
      ) as said
      cross join lateral (
        select version_digest(coalesce(judged.digest, ''), array[judged.tenant, judged.type, judged.id, now.version::text,
          (extract(epoch from at) * 1000)::bigint::text, data, said_metadata, said_user, agent, principal, request, said.salt]) as digest offset 0
      ) as made
    ), changed as materialized (
      select * from next where refusal is null
    ), inserted as (
      insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, user_id, metadata, agent_id, principal, digest,
        unicode, labels, data_text, data_words, metadata_text, metadata_words)
      select tenant, type, id, new_version, new_first, at, at, said_user, said_metadata::json, agent, principal, new_digest,
        ${unicode}, coalesce(labels, '{}')::jsonb, text, ${vectors.data}, metadata_text, ${vectors.metadata}
      from changed as input where version is null
      order by tenant, type, id
    ), updated as (
      -- An insert that always conflicts, since we have locked these rows. It replaces an update, which would
      -- need a join, whose plan might scan the table.
      insert into immutable as h (tenant, type, id, version, first_version, created_at, first_created_at, user_id, metadata, agent_id, principal, digest,
        unicode, labels, data_text, data_words, metadata_text, metadata_words)
      select tenant, type, id, new_version, new_first, at, new_first_created_at, said_user, said_metadata::json, agent, principal, new_digest,
        ${unicode}, coalesce(labels, 'null')::jsonb, text, ${vectors.data}, metadata_text, ${vectors.metadata}
      from changed as input where version is not null
      on conflict (tenant, type, id) do update set
        version = excluded.version, first_version = excluded.first_version, created_at = excluded.created_at,
        first_created_at = excluded.first_created_at, user_id = excluded.user_id, metadata = excluded.metadata, agent_id = excluded.agent_id, principal = excluded.principal,
        digest = excluded.digest, erased = false,
        -- Metadata that is inherited is found by the words that it had.
        unicode = case when excluded.metadata_text is null then h.unicode else excluded.unicode end,
        labels = case when excluded.labels = 'null' then h.labels else excluded.labels end,
        data_text = excluded.data_text, data_words = excluded.data_words,
        metadata_text = coalesce(excluded.metadata_text, h.metadata_text),
        metadata_words = coalesce(excluded.metadata_words, h.metadata_words)
    ), versions as (
      insert into immutable_version
        (tenant, type, id, version, data, user_id, metadata, created_at, agent_id, principal, request_id, salt, previous_digest, digest)
      select tenant, type, id, new_version, data::json, said_user, said_metadata::json, at, agent, principal, request, salt, previous_digest, new_digest
      from changed
    ), deleted_version as (
      delete from immutable_version v
      where v.tid = any(array(
        select old.tid from changed cross join lateral (
          select v.tid from immutable_version v
          where v.tenant = changed.tenant and v.type = changed.type and v.id = changed.id and v.version < changed.new_first
          offset 0
        ) as old
        where changed.new_first > changed.first_version))
    ), result as ${requests ? sql`materialized` : sql``} (
      select next.*, json_build_object('version', new_version, 'first_version', new_first,
        'created_at', (extract(epoch from at) * 1000)::bigint,
        'first_created_at', (extract(epoch from new_first_created_at) * 1000)::bigint,
        'user_id', said_user, 'agent_id', agent, 'principal', principal, 'metadata', said_metadata, 'digest', encode(new_digest, 'hex'), 'salt', salt) as cells
      from next
    )
    ${
      requests
        ? sql`, stored_reply as (
            insert into request (tenant, id, fingerprint, reply, user_ids, bytes)
            select tenant, request_key, seal(fingerprint), reply, case when said_user is null then '{}' else array[said_user] end, octet_length(reply::text)
            from (
              select result.*, case when octet_length(said_metadata) > ${contentMax} then slim_reply(cells) else cells end as reply
              from result where fingerprint is not null and refusal is null
            ) as made)`
        : sql``
    }
    select cells::text, refusal, said_user, coalesce(version, 0) as version, repeats, ${
      requests
        ? sql`case when repeats is not null then
            (select r.reply::text from request r where r.tenant = result.tenant and r.id = result.request_key) end`
        : sql`null`
    } as reply
    from result order by number`;
}
