-- Events are rows of the log of changes: so they are read together with changes, and order and erasure work with the
-- same code. They are kept for seconds only, so they have four unlogged partitions of their own, which take turns by
-- the clock.
--
--   store   space   name      revision   value
--   event   ''      channel   0          the data
create unlogged table change_8 partition of change for values in (8);
create unlogged table change_9 partition of change for values in (9);
create unlogged table change_10 partition of change for values in (10);
create unlogged table change_11 partition of change for values in (11);

-- The partition of new events: another one every 5 seconds.
create function event_slot() returns smallint language sql volatile as $$
  select (8 + floor(extract(epoch from clock_timestamp()) / 5)::bigint % 4)::smallint
$$;

-- One row with a random id. A crash of Postgres empties it, as it empties all unlogged tables.
create unlogged table event_life (
  id text not null
);

-- Snapshots of the last seconds, about one a second: what is visible in an old one was committed before.
create unlogged table event_snapshot (
  taken_at timestamptz primary key,
  snapshot pg_snapshot not null
);

-- The tenants that have published so much that they must wait.
create table event_excess (
  tenant   text collate "C" primary key,
  noted_at timestamptz      not null default clock_timestamp()
);

create view tenant_tables.event_excess as select * from event_excess where works_for(tenant) with local check option;

-- How many bytes the events of all tenants may take.
create function event_bytes_max() returns bigint language sql stable as $$
  select greatest(bytes_max / 4, 1048576) from feed
$$;

-- Truncates the partition of events whose turn comes next, if all that it holds was committed more than 10 seconds ago.
-- Beyond event_bytes_max, notes the tenants that have more than their share; beyond twice that, all. Every worker calls
-- it about once a second. One at a time does it, and waits for no lock for longer than 50 ms.
create function tend_events() returns void language plpgsql as $$
declare
  next smallint := 8 + (event_slot() - 7) % 4;
  old pg_snapshot;
  total bigint;
begin
  if not pg_try_advisory_xact_lock(x'6576656e'::int) then -- "even"
    return;
  end if;
  perform set_config('lock_timeout', '50', true);
  insert into event_life select gen_random_uuid()::text where not exists (select from event_life);
  insert into event_snapshot values (clock_timestamp(), pg_current_snapshot());
  delete from event_snapshot where taken_at < clock_timestamp() - interval '20 seconds';

  if pg_relation_size('change_' || next) > 0 then
    select s.snapshot into old from event_snapshot s
    where s.taken_at < clock_timestamp() - interval '10 seconds' order by s.taken_at desc limit 1;
    begin
      execute format('lock table change_%s in access exclusive mode', next);
      if not exists (
        select from change c where c.slot = next
          and (c.xid >= pg_snapshot_xmax(old) or c.xid = any(array(select pg_snapshot_xip(old))) or old is null))
      then
        execute format('truncate change_%s', next);
      end if;
    exception when lock_not_available then null; -- somebody reads it for long, such as pg_dump
    end;
  end if;

  select sum(pg_table_size('change_' || slot)) into total from generate_series(8, 11) as slot;
  if total <= event_bytes_max() then
    if exists (select from event_excess) then
      delete from event_excess;
    end if;
  elsif not exists (select from event_excess where noted_at > clock_timestamp() - interval '900 milliseconds') then
    delete from event_excess;
    insert into event_excess
    select tenant from (
      select c.tenant, sum(c.bytes + octet_length(c.name) + 200) as bytes, count(*) over () as tenants
      from change c where c.slot >= 8 group by c.tenant
    ) as published
    where total > 2 * event_bytes_max() or bytes > event_bytes_max() / tenants;
  end if;
end
$$;
