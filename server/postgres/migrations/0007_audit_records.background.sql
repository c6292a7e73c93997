-- Moves a batch of audit records from the type `audit-log` to `$cortex/audit`. A record of the audit trail names users by a digest, belongs
-- to no user, and stays when a user is erased. Each has a random id and one version, so its digest has no previous digest.
create or replace function pg_temp.audit_digest(tenant text, content text) returns text language sql immutable as $$
  select encode(sha256(convert_to(tenant, 'UTF8') || '\x00'::bytea || convert_to(content, 'UTF8')), 'hex')
$$;

-- What was asked for, with a digest in place of each text that holds the user's id.
create or replace function pg_temp.without_user(asked jsonb, tenant text, user_id text) returns jsonb language sql immutable as $$
  select case jsonb_typeof(asked)
    when 'object' then (
      select coalesce(jsonb_object_agg(key, pg_temp.without_user(value, tenant, user_id)), '{}') from jsonb_each(asked))
    when 'array' then (
      select coalesce(jsonb_agg(pg_temp.without_user(value, tenant, user_id)), '[]') from jsonb_array_elements(asked))
    when 'string' then case
      when strpos(asked #>> '{}', user_id) > 0 then to_jsonb(pg_temp.audit_digest(tenant, asked #>> '{}')) else asked end
    else asked
  end
$$;

-- Only the release before wrote such ids into this type. Since migration 0006 they are the users'.
create temporary table waiting on commit drop as
select h.tenant, h.type, h.id from immutable h
join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version
where h.type = 'audit-log' and h.id like 'cortex/%' and v.data is not null
  and h.first_created_at < (select applied_at from migration where name = '0006_audit_trail.sql')
limit 1001;

-- The row locks keep a purge or an erasure away from these records until they are moved. Records that others have locked wait for a later
-- batch.
create temporary table chosen on commit drop as
select h.tenant, h.type, h.id from immutable h join waiting using (tenant, type, id) limit 1000 for update of h skip locked;

create temporary table moved on commit drop as
select h.tenant, h.id as old_id, substr(h.id, length('cortex/') + 1) as id, h.created_at, h.agent_id, h.principal, h.user_id, v.salt,
  case when h.user_id is null then v.data
    else (jsonb_set(v.data::jsonb, '{asked}', pg_temp.without_user(v.data::jsonb -> 'asked', h.tenant, h.user_id))
      || jsonb_build_object('user', pg_temp.audit_digest(h.tenant, h.user_id)))::json end as data
from chosen join immutable h using (tenant, type, id)
join immutable_version v on v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version
where v.data is not null;

-- The agent or principal may be the user itself.
update moved set agent_id = case when strpos(agent_id, user_id) > 0 then null else agent_id end,
  principal = case when strpos(principal, user_id) > 0 then null else principal end
where user_id is not null;

alter table moved add column digest bytea;
update moved set digest = version_digest('', array[tenant, '$cortex/audit', id, '1', (extract(epoch from created_at) * 1000)::bigint::text,
  data::text, '{}', null, agent_id, principal, null, salt]);

insert into immutable (tenant, type, id, version, first_version, created_at, first_created_at, user_id, metadata, agent_id, principal, digest,
  labels, data_text, data_words)
select tenant, '$cortex/audit', id, 1, 1, created_at, created_at, null, '{}', agent_id, principal, digest, '{}',
  lower(data::text), to_tsvector('simple', data)
from moved;

insert into immutable_version (tenant, type, id, version, data, user_id, metadata, created_at, agent_id, principal, request_id, salt,
  previous_digest, digest)
select tenant, '$cortex/audit', id, 1, data, null, '{}', created_at, agent_id, principal, null, salt, '', digest from moved;

delete from immutable h using moved where h.tenant = moved.tenant and h.type = 'audit-log' and h.id = moved.old_id;

select (select count(*) from moved) as rows, (select count(*) from waiting) > (select count(*) from moved) as more;
