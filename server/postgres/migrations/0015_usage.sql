-- How much each tenant stores in each namespace and type, so that nobody has to count rows. Every statement that changes rows writes what
-- it changes, as rows of `usage_delta`, by triggers: in its own transaction, so that the sums are as exact as a count of the rows, and
-- without a lock. The server folds these rows into `usage` (server/storage/usage/fold.ts). A sum is that of both tables.
--
--   kind       space       rows      versions   bytes of        metadata_bytes of
--   entry      namespace   entries              values          entries
--   record     type        records   versions   data            versions
--   reserved   type        as `record`, for the types that begin with $cortex/: the server's own, which count in no quota
--   user       ''                               profiles
--
-- Entries that have expired count until they are swept. Records whose current version was erased do not count.
create table usage (
  tenant         text collate "C" not null,
  kind           text collate "C" not null,
  space          text collate "C" not null, -- '' has the sums of all spaces
  rows           bigint           not null,
  versions       bigint           not null,
  bytes          bigint           not null,
  metadata_bytes bigint           not null,
  primary key (tenant, kind, space)
) with (fillfactor = 70);

create table usage_delta (
  tenant         text collate "C" not null,
  kind           text collate "C" not null,
  space          text collate "C" not null,
  rows           bigint           not null,
  versions       bigint           not null,
  bytes          bigint           not null,
  metadata_bytes bigint           not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000); -- its rows are deleted within seconds

create index usage_delta_by_space on usage_delta (tenant, kind, space);

-- The views of the connections of calls: see 0005. The triggers, too, find them there.
create view tenant_rows.usage as select * from usage where works_for(tenant) with local check option;
create view tenant_rows.usage_delta as select * from usage_delta where works_for(tenant) with local check option;

create function count_entries() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta
    select tenant, 'entry', namespace, count(*), 0, sum(bytes), sum(octet_length(metadata::text)) from new_row group by tenant, namespace;
  elsif tg_op = 'DELETE' then
    insert into usage_delta
    select tenant, 'entry', namespace, -count(*), 0, -sum(bytes), -sum(octet_length(metadata::text)) from old_row group by tenant, namespace;
  else
    insert into usage_delta
    select tenant, 'entry', namespace, 0, 0, sum(bytes), sum(metadata_bytes)
    from (
      select tenant, namespace, bytes, octet_length(metadata::text) as metadata_bytes from new_row
      union all select tenant, namespace, -bytes, -octet_length(metadata::text) from old_row
    ) as change
    group by tenant, namespace having sum(bytes) <> 0 or sum(metadata_bytes) <> 0;
  end if;
  return null;
end
$$;

create function kind_of(type text) returns text language sql immutable parallel safe as $$
  select case when starts_with(type, '$cortex/') then 'reserved' else 'record' end
$$;

create function count_records() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta
    select tenant, kind_of(type), type, count(*), 0, 0, 0 from new_row where not erased group by tenant, type;
  else
    insert into usage_delta
    select tenant, kind_of(type), type, -count(*), 0, 0, 0 from old_row where not erased group by tenant, type;
  end if;
  return null;
end
$$;

create function count_erased_record() returns trigger language plpgsql as $$
begin
  insert into usage_delta values (new.tenant, kind_of(new.type), new.type, case when new.erased then -1 else 1 end, 0, 0, 0);
  return null;
end
$$;

create function count_versions() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta
    select tenant, kind_of(type), type, 0, count(*), coalesce(sum(bytes), 0), sum(octet_length(metadata::text)) from new_row group by tenant, type;
  elsif tg_op = 'DELETE' then
    insert into usage_delta
    select tenant, kind_of(type), type, 0, -count(*), -coalesce(sum(bytes), 0), -sum(octet_length(metadata::text)) from old_row group by tenant, type;
  else
    insert into usage_delta
    select tenant, kind_of(type), type, 0, 0, coalesce(sum(bytes), 0), sum(metadata_bytes)
    from (
      select tenant, type, bytes, octet_length(metadata::text) as metadata_bytes from new_row
      union all select tenant, type, -bytes, -octet_length(metadata::text) from old_row
    ) as change
    group by tenant, type having coalesce(sum(bytes), 0) <> 0 or sum(metadata_bytes) <> 0;
  end if;
  return null;
end
$$;

create function count_users() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta
    select tenant, 'user', '', 0, 0, sum(octet_length(profile::text)), 0 from new_row group by tenant;
  elsif tg_op = 'DELETE' then
    insert into usage_delta
    select tenant, 'user', '', 0, 0, -sum(octet_length(profile::text)), 0 from old_row group by tenant;
  else
    insert into usage_delta
    select tenant, 'user', '', 0, 0, sum(bytes), 0
    from (
      select tenant, octet_length(profile::text) as bytes from new_row
      union all select tenant, -octet_length(profile::text) from old_row
    ) as change
    group by tenant having sum(bytes) <> 0;
  end if;
  return null;
end
$$;

create trigger count_insert after insert on mutable
  referencing new table as new_row for each statement execute function count_entries();
create trigger count_update after update on mutable
  referencing old table as old_row new table as new_row for each statement execute function count_entries();
create trigger count_delete after delete on mutable
  referencing old table as old_row for each statement execute function count_entries();

create trigger count_insert after insert on immutable
  referencing new table as new_row for each statement execute function count_records();
create trigger count_delete after delete on immutable
  referencing old table as old_row for each statement execute function count_records();
create trigger count_erased after update on immutable
  for each row when (old.erased <> new.erased) execute function count_erased_record();

create trigger count_insert after insert on immutable_version
  referencing new table as new_row for each statement execute function count_versions();
create trigger count_update after update on immutable_version
  referencing old table as old_row new table as new_row for each statement execute function count_versions();
create trigger count_delete after delete on immutable_version
  referencing old table as old_row for each statement execute function count_versions();

create trigger count_insert after insert on users
  referencing new table as new_row for each statement execute function count_users();
create trigger count_update after update on users
  referencing old table as old_row new table as new_row for each statement execute function count_users();
create trigger count_delete after delete on users
  referencing old table as old_row for each statement execute function count_users();

-- Folds up to `rows_max` rows of `usage_delta` into `usage`, on one server at a time. Gives how many.
create function fold_usage(rows_max integer) returns integer language plpgsql as $$
declare
  folding tid[];
begin
  if not pg_try_advisory_xact_lock(x'75736167'::int) then -- "usag"
    return 0;
  end if;
  -- These statements begin after that, so they see what the server that had the lock before has folded.
  folding := array(select ctid from usage_delta limit rows_max);
  with gone as (
    delete from usage_delta where ctid = any(folding) returning *
  ), change as (
    select tenant, kind, coalesce(space, '') as space, sum(rows) as rows, sum(versions) as versions, sum(bytes) as bytes,
      sum(metadata_bytes) as metadata_bytes
    from gone group by grouping sets ((tenant, kind, space), (tenant, kind))
    having (grouping(space) = 1 or space <> '') -- users have no space
      and (sum(rows) <> 0 or sum(versions) <> 0 or sum(bytes) <> 0 or sum(metadata_bytes) <> 0)
  )
  merge into usage as u using change on u.tenant = change.tenant and u.kind = change.kind and u.space = change.space
  when matched and u.rows + change.rows = 0 and u.versions + change.versions = 0 and u.bytes + change.bytes = 0
    and u.metadata_bytes + change.metadata_bytes = 0 then delete
  when matched then update set rows = u.rows + change.rows, versions = u.versions + change.versions, bytes = u.bytes + change.bytes,
    metadata_bytes = u.metadata_bytes + change.metadata_bytes
  when not matched then
    insert values (change.tenant, change.kind, change.space, change.rows, change.versions, change.bytes, change.metadata_bytes);
  return cardinality(folding);
end
$$;
