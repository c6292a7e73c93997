-- Keeps the log within its time and size. One server at a time does it, about once a second.
--
-- The partitions are a ring: `feed.slot` is written, those before it are closed. A closed partition that is too old, or too much, is first
-- put below the floor, and truncated by a later call. Neither waits for a lock for longer than 50 ms.
create function tend_feed() returns void language plpgsql as $$
declare
  state feed%rowtype;
  oldest feed_closed%rowtype;
  biggest feed_share%rowtype;
  next smallint;
  total bigint;
  disk bigint;
begin
  if not pg_try_advisory_xact_lock(x'66656564'::int) then -- "feed"
    return;
  end if;
  perform set_config('lock_timeout', '50', true);
  select * into state from feed;
  if state.retention_seconds = 0 then
    return;
  end if;
  insert into feed_snapshot
  select clock_timestamp(), pg_current_snapshot()
  where (select snapshot from feed_snapshot order by taken_at desc limit 1)::text is distinct from pg_current_snapshot()::text;
  delete from feed_snapshot where taken_at < clock_timestamp() - 1.5 * state.retention_seconds * interval '1 second';

  -- Closes what is written no more. The lock shows that no transaction that wrote there is open, so the next snapshot shows all of it.
  for candidate in 0..7 loop
    continue when candidate = state.slot or exists (select from feed_closed c where c.slot = candidate);
    continue when pg_relation_size('change_' || candidate) = 0;
    begin
      execute format('lock table change_%s in share mode', candidate);
      insert into feed_closed values (candidate, pg_current_snapshot(), pg_table_size('change_' || candidate), clock_timestamp(), null);
      insert into feed_share
      select c.tenant, candidate, sum(c.bytes + octet_length(c.name) + 200) from change c where c.slot = candidate group by c.tenant;
    exception when lock_not_available then null;
    end;
  end loop;

  -- Turns to the next partition, if that is empty.
  next := (state.slot + 1) % 8;
  if (state.turned_at < clock_timestamp() - state.retention_seconds / 6 * interval '1 second'
      or pg_table_size('change_' || state.slot) > state.bytes_max / 8)
    and pg_relation_size('change_' || state.slot) > 0 and pg_relation_size('change_' || next) = 0
    and not exists (select from feed_closed c where c.slot = next)
  then
    update feed set slot = next, turned_at = clock_timestamp();
  end if;

  -- Of a tenant with more than half of the bytes, the oldest goes first. (It frees the disk only when its partition is truncated.) What was
  -- closed within the last 10 seconds stays: a reader may be on its way there.
  loop
    select coalesce(sum(bytes), 0) into total from feed_share;
    exit when total <= state.bytes_max * 3 / 4;
    select tenant, min(f.slot), sum(bytes) into biggest from feed_share f group by tenant order by sum(bytes) desc limit 1;
    exit when biggest.bytes <= state.bytes_max / 2;
    select c.* into oldest from feed_share f join feed_closed c using (slot)
    where f.tenant = biggest.tenant and c.closed_at < clock_timestamp() - interval '10 seconds' order by c.closed_at limit 1;
    if oldest.slot is null then
      total := 0; -- it is this tenant's turn, in a moment
      exit;
    end if;
    insert into feed_floor values (biggest.tenant, oldest.snapshot) on conflict (tenant) do update set floor = excluded.floor;
    delete from change c where c.slot = oldest.slot and c.tenant = biggest.tenant;
    delete from feed_share f where f.slot = oldest.slot and f.tenant = biggest.tenant;
  end loop;

  -- Moves the floor above what is too old, or too much.
  select coalesce(sum(bytes), 0) into disk from feed_closed;
  for oldest in select * from feed_closed where dropped_at is null order by closed_at loop
    exit when oldest.closed_at > clock_timestamp() - state.retention_seconds * interval '1 second'
      and total <= state.bytes_max * 3 / 4 and disk <= state.bytes_max * 2;
    exit when oldest.closed_at > clock_timestamp() - interval '10 seconds' and state.retention_seconds > 10;
    update feed set floor = oldest.snapshot;
    update feed_closed set dropped_at = clock_timestamp() where slot = oldest.slot;
    select total - coalesce(sum(bytes), 0) into total from feed_share where slot = oldest.slot;
    disk := disk - oldest.bytes;
  end loop;
end
$$;

-- Truncates one partition below the floor. False if there is none, or its lock is held.
create function truncate_changes() returns boolean language plpgsql as $$
declare
  oldest feed_closed%rowtype;
begin
  if not pg_try_advisory_xact_lock(x'66656564'::int) then
    return false;
  end if;
  perform set_config('lock_timeout', '50', true);
  select * into oldest from feed_closed where dropped_at < clock_timestamp() - interval '500 milliseconds' order by closed_at limit 1;
  if oldest.slot is null then
    return false;
  end if;
  execute format('lock table change_%s in access exclusive mode', oldest.slot);
  -- Rows that came after the close: a statement had chosen the partition before, and was stopped meanwhile. It is closed again.
  if exists (
    select from change c where c.slot = oldest.slot
      and (c.xid >= pg_snapshot_xmax(oldest.snapshot) or c.xid = any(array(select pg_snapshot_xip(oldest.snapshot)))))
  then
    delete from feed_closed c where c.slot = oldest.slot;
    delete from feed_share f where f.slot = oldest.slot;
    return false;
  end if;
  execute format('truncate change_%s', oldest.slot);
  delete from feed_closed c where c.slot = oldest.slot;
  delete from feed_share f where f.slot = oldest.slot;
  return true;
exception when lock_not_available then
  return false;
end
$$;

-- What tells this database from one that was restored from a copy of it: the cluster, its timeline, the database, and the table itself.
create function feed_identity() returns text language sql volatile as $$
  select (select system_identifier from pg_control_system()) || ' ' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || ' ' || (select oid from pg_database where datname = current_database()) || ' ' || 'feed'::regclass::oid
$$;

-- Begins the feed anew if the log is not of this database, or if it was, or is to be, switched off. Sets retention and size; null keeps them.
-- The lock waits for all transactions that write, so that none logs by the settings of before. It waits for 50 ms at most.
create function set_feed(seconds double precision, bytes bigint) returns void language plpgsql as $$
declare
  state feed%rowtype;
  is_restored boolean;
begin
  if pg_is_in_recovery() then -- a replica: it only reads
    return;
  end if;
  select * into state from feed;
  -- A copy of the log in another cluster can have rows of transactions that are to come there.
  is_restored := state.identity <> feed_identity()
    or exists (select from change c where c.xid >= pg_snapshot_xmax(pg_current_snapshot()));
  if not is_restored and coalesce(seconds, state.retention_seconds) = state.retention_seconds and coalesce(bytes, state.bytes_max) = state.bytes_max then
    return;
  end if;
  perform set_config('lock_timeout', '50', true);
  lock table feed in access exclusive mode;
  update feed set retention_seconds = coalesce(seconds, retention_seconds), bytes_max = coalesce(bytes, bytes_max);
  if is_restored or (seconds = 0) <> (state.retention_seconds = 0) then
    if exists (select from change) then
      truncate change;
    end if;
    delete from feed_closed;
    delete from feed_share;
    delete from feed_floor;
    delete from feed_snapshot;
    update feed set epoch = gen_random_uuid()::text, identity = feed_identity(), slot = 0, turned_at = clock_timestamp(), floor = null;
  end if;
end
$$;
