-- The current snapshot, without the transactions that a crash of Postgres could forget. A transaction that wrote
-- nothing to the write-ahead log, or was rolled back, leaves no trace there, so its id can be used again after a
-- crash. A cursor that counted it as seen would then pass over the change that has its id.
--
-- Two things are known to be on disk once they are visible: the snapshots that are taken about once a second, whose
-- transactions have higher ids than those in them, and the rows of the log. So what is visible in the current snapshot
-- and not in the one that this gives has no row in the log. (3 is the lowest id of a transaction.)
create function durable_snapshot() returns text language plpgsql stable as $$
declare
  now pg_snapshot := pg_current_snapshot();
  known xid8;
  logged xid8;
begin
  select pg_snapshot_xmax(s.snapshot) into known from feed_snapshot s order by s.taken_at desc limit 1;
  known := coalesce(known, '3');
  select c.xid into logged from change c where c.slot < 8 and c.xid >= known order by c.xid desc limit 1;
  if logged is not null then
    known := (logged::text::numeric + 1)::text::xid8;
  end if;
  if known >= pg_snapshot_xmax(now) then
    return now::text;
  end if;
  return coalesce((select min(xid) from pg_snapshot_xip(now) as xid where xid < known), known) || ':' || known || ':'
    || coalesce((select string_agg(xid::text, ',' order by xid) from pg_snapshot_xip(now) as xid where xid < known), '');
end
$$;
