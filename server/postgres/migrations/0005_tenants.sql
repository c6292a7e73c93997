-- Who wrote an entry, and the current version of a record: the agent by what it says of itself, the principal by its credentials.
alter table mutable add column agent_id text, add column principal text;
alter table immutable add column agent_id text, add column principal text;
update immutable h set agent_id = v.agent_id, principal = v.principal
from immutable_version v
where v.tenant = h.tenant and v.type = h.type and v.id = h.id and v.version = h.version;

-- A record whose current version was erased with its user: it has no current version until the next is stored.
alter table immutable add column erased boolean not null default false;

-- A request id is kept as its digest, since it may say more than a reply that is erased. The reply of an erased user's request is null.
alter table request alter column reply drop not null;
update request set id = rtrim(translate(encode(sha256(convert_to(id, 'UTF8')), 'base64'), '+/', '-_'), '=');

-- The barrier between tenants. The statements of calls reach the tables through these views, which stand first in the search path of
-- their connections: of the rows, they show those of the tenants that the connection works for, and they take no others. So whatever a
-- statement forgets to ask, it cannot reach another tenant; and a connection that works for nobody gets an error. The tenants are lines
-- (no tenant holds a line break); no index serves this condition, so that plans go by what the statements ask.
create function works_for(tenant text) returns boolean language sql stable parallel safe as $$
  select strpos(current_setting('cortex.tenants'), E'\n' || tenant || E'\n') > 0
$$;

create schema of_tenant;
create view of_tenant.users as select * from users where works_for(tenant) with local check option;
create view of_tenant.mutable as select * from mutable where works_for(tenant) with local check option;
create view of_tenant.mutable_access as select * from mutable_access where works_for(tenant) with local check option;
create view of_tenant.request as select * from request where works_for(tenant) with local check option;
create view of_tenant.immutable as select * from immutable where works_for(tenant) with local check option;
create view of_tenant.immutable_version as select *, ctid as tid from immutable_version where works_for(tenant) with local check option;

-- The lock that keeps a namespace without new keys. With a secret of this database in it, so that nobody can look for a namespace whose
-- lock is that of another tenant's.
do $$
begin
  execute format($function$
    create function creation_lock(tenant text, namespace text) returns bigint language sql immutable parallel safe as $body$
      select ('x' || left(encode(sha256(convert_to(%L || tenant || E'\1' || namespace, 'UTF8')), 'hex'), 16))::bit(64)::bigint
    $body$ $function$, gen_random_uuid()::text || gen_random_uuid()::text);
end
$$;

-- All that is linked to a user, in the order in which it is exported.
drop index mutable_by_user;
create index mutable_by_user on mutable (tenant, user_id, namespace, key) where user_id is not null;
drop index immutable_version_by_user;
create index immutable_version_by_user on immutable_version (tenant, user_id, type, id, version) where user_id is not null;
