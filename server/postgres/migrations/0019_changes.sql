-- The change feed: what was committed, for Watch. Triggers write a row for each key that a statement changes. A reader finds what is new to
-- it by snapshots (server/feed/): a row is new if its transaction is not visible in the snapshot of the last read.
--
-- A server of the release before would not erase users from the log. So the views move to another schema, as in 0013.
create schema tenant_tables;
do $$
declare
  name text;
begin
  foreach name in array array['users', 'mutable', 'mutable_access', 'request', 'immutable', 'immutable_version', 'usage', 'usage_delta'] loop
    execute format('alter view tenant_rows.%I set schema tenant_tables', name);
  end loop;
end
$$;

create function tenant_rows.refuse_older_server() returns boolean language plpgsql stable as $$
begin
  raise exception 'this server is older than its database: the schema is of migration 0019'
    using errcode = 'cannot_connect_now', hint = 'Start the release that brought the database up to date, or a later one.';
end
$$;

do $$
declare
  name text;
begin
  foreach name in array array['users', 'mutable', 'mutable_access', 'request', 'immutable', 'immutable_version', 'usage', 'usage_delta'] loop
    execute format('create view tenant_rows.%1$I as select * from tenant_tables.%1$I where tenant_rows.refuse_older_server() with local check option', name);
  end loop;
end
$$;

-- The state of the feed: one row.
create table feed (
  epoch             text             not null, -- cursors of another epoch are expired
  secret            text             not null, -- signs cursors
  identity          text             not null, -- of the database that the log belongs to: a dump that is restored has another
  retention_seconds double precision not null, -- 0: nothing is logged
  bytes_max         bigint           not null,
  slot              smallint         not null, -- the partition that is written
  turned_at         timestamptz      not null, -- when it became that
  floor             pg_snapshot                -- what was dropped is visible in it; null: nothing was dropped in this epoch
);

insert into feed values (
  gen_random_uuid()::text, gen_random_uuid()::text || gen_random_uuid()::text, '', 3600, 1073741824, 0, clock_timestamp(), null);

-- The partitions that are written no more. All that they hold is visible in `snapshot`.
create table feed_closed (
  slot       smallint    primary key,
  snapshot   pg_snapshot not null,
  bytes      bigint      not null, -- on disk
  closed_at  timestamptz not null,
  dropped_at timestamptz           -- since when the floor is above it, so that it may be truncated
);

-- How much of a closed partition is each tenant's.
create table feed_share (
  tenant text collate "C" not null,
  slot   smallint         not null,
  bytes  bigint           not null,
  primary key (tenant, slot)
);

-- The floors of tenants that had more than their share: for them, more was dropped than for others.
create table feed_floor (
  tenant  text collate "C" primary key,
  floor   pg_snapshot      not null
);

-- Snapshots of the last hours, about one a second, so that a reader that is far behind catches up in small steps.
create table feed_snapshot (
  taken_at timestamptz primary key,
  snapshot pg_snapshot not null
);

create sequence change_id;

-- The log. `id` orders the rows of a transaction. The rank of a transaction is the highest `id` of its rows: it is drawn by its last
-- statement, while all its locks are held. So what comes later by rank cannot have been seen by what comes before.
--
--   store      space       name   revision   value of
--   entry      namespace   key    revision   the entry
--   record     type        id     version    the version's data
--   mark       ''          ''                kind `commit`: the end of a transaction; kind `erased`: the digest of the erased user
create table change (
  slot        smallint         not null,
  id          bigint           not null default nextval('change_id'),
  xid         xid8             not null default pg_current_xact_id(),
  tenant      text collate "C" not null,
  store       text collate "C" not null,
  space       text collate "C" not null,
  name        text collate "C" not null,
  kind        text collate "C" not null, -- set, delete, expire, purge, erase; commit, erased
  is_new      boolean          not null, -- the key did not exist before this statement
  value       json,                      -- null: it was removed
  bytes       integer          not null, -- of the value
  revision    bigint           not null, -- of a removal: the one that it ended
  user_id     text collate "C",          -- of the value
  old_user_id text collate "C",          -- of the value before, if that is another
  agent_id    text,
  at          timestamptz(3)   not null
) partition by list (slot);

do $$
begin
  for slot in 0..7 loop
    execute format('create table change_%1$s partition of change for values in (%1$s)', slot);
  end loop;
end
$$;

create index change_by_xid on change (xid);
create index change_by_user on change (tenant, user_id) where user_id is not null;
create index change_by_old_user on change (tenant, old_user_id) where old_user_id is not null;

create view tenant_tables.change as select * from change where works_for(tenant) with local check option;
create view tenant_tables.feed_share as select * from feed_share where works_for(tenant) with local check option;
create view tenant_tables.feed_floor as select * from feed_floor where works_for(tenant) with local check option;

-- What removes rows says so by the setting `cortex.removal`: purge, erase or expire. Without it, entries are deleted.
create function removal(otherwise text) returns text language sql stable as $$
  select coalesce(nullif(current_setting('cortex.removal', true), ''), otherwise)
$$;

-- The agent that removes a name: the setting `cortex.removed_by` has them, by name, or one for all under ''.
create function removed_by(name text) returns text language sql stable as $$
  select coalesce(agents ->> name, agents ->> '') from (select nullif(current_setting('cortex.removed_by', true), '')::json as agents) as setting
$$;

create function log_entries() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into change (slot, tenant, store, space, name, kind, is_new, value, bytes, revision, user_id, agent_id, at)
    select slot, tenant, 'entry', namespace, key, 'set', true, value, bytes, revision, user_id, agent_id, updated_at
    from new_row cross join feed where retention_seconds > 0;
  elsif tg_op = 'UPDATE' then
    insert into change (slot, tenant, store, space, name, kind, is_new, value, bytes, revision, user_id, old_user_id, agent_id, at)
    select slot, tenant, 'entry', namespace, key, kind, is_new, value, bytes, revision, user_id, old_user_id, agent_id, at
    from (
      -- An entry that had expired: the row was used again.
      select o.tenant, o.namespace, o.key, 'expire' as kind, false as is_new, null as value, 0 as bytes, o.revision, null as user_id,
        o.user_id as old_user_id, null as agent_id, o.expire_at as at
      from old_row o join new_row n using (tenant, namespace, key)
      where o.expire_at is not null and n.created_revision <> o.created_revision and o.expire_at <= n.created_at
      union all
      select n.tenant, n.namespace, n.key, 'set', coalesce(n.created_revision <> o.created_revision and o.expire_at <= n.created_at, false),
        n.value, n.bytes, n.revision, n.user_id, case when o.user_id is distinct from n.user_id then o.user_id end, n.agent_id, n.updated_at
      from new_row n left join old_row o on o.tenant = n.tenant and o.namespace = n.namespace and o.key = n.key
        and (o.user_id is not null or o.expire_at is not null)
    ) as written cross join feed where retention_seconds > 0;
  else
    insert into change (slot, tenant, store, space, name, kind, is_new, bytes, revision, old_user_id, agent_id, at)
    select slot, tenant, 'entry', namespace, key, kind, false, 0, revision, case when kind <> 'erase' then user_id end,
      case when kind in ('delete', 'purge') then removed_by(concat_ws(E'\1', tenant, namespace, key)) end,
      case when kind = 'expire' then expire_at else date_trunc('milliseconds', clock_timestamp()) end
    from (
      select *, removal(case when expire_at <= statement_timestamp() then 'expire' else 'delete' end) as kind from old_row offset 0
    ) as removed cross join feed where retention_seconds > 0;
  end if;
  return null;
end
$$;

create function log_versions() returns trigger language plpgsql as $$
begin
  insert into change (slot, tenant, store, space, name, kind, is_new, value, bytes, revision, user_id, agent_id, at)
  select slot, tenant, 'record', type, id, 'set', version = 1, data, coalesce(bytes, 0), version, user_id, agent_id, created_at
  from new_row cross join feed where retention_seconds > 0;
  return null;
end
$$;

create function log_records() returns trigger language plpgsql as $$
begin
  insert into change (slot, tenant, store, space, name, kind, is_new, bytes, revision, old_user_id, agent_id, at)
  select slot, tenant, 'record', type, id, kind, false, 0, version, case when kind <> 'erase' then user_id end,
    case when kind = 'purge' then removed_by(concat_ws(E'\1', tenant, type, id)) end, date_trunc('milliseconds', clock_timestamp())
  from (select *, removal('purge') as kind from old_row offset 0) as removed cross join feed where retention_seconds > 0;
  return null;
end
$$;

create function log_erased_record() returns trigger language plpgsql as $$
begin
  insert into change (slot, tenant, store, space, name, kind, is_new, bytes, revision, at)
  select slot, new.tenant, 'record', new.type, new.id, 'erase', false, 0, new.version, date_trunc('milliseconds', clock_timestamp())
  from feed where retention_seconds > 0;
  return null;
end
$$;

create trigger log_insert after insert on mutable
  referencing new table as new_row for each statement execute function log_entries();
create trigger log_update after update on mutable
  referencing old table as old_row new table as new_row for each statement execute function log_entries();
create trigger log_delete after delete on mutable
  referencing old table as old_row for each statement execute function log_entries();

create trigger log_insert after insert on immutable_version
  referencing new table as new_row for each statement execute function log_versions();
create trigger log_delete after delete on immutable
  referencing old table as old_row for each statement execute function log_records();
create trigger log_erased after update on immutable
  for each row when (new.erased and not old.erased) execute function log_erased_record();
