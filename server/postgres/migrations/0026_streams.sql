-- Streams: logs of entries, which groups of consumers share among them. Streams and groups have numbers from one sequence, by which
-- entries and pending entries name them: so a stream is deleted at once, and what it had is deleted by the next sweeps.
create sequence stream_number;

-- An id of an entry is <ms>-<seq>. New ids are drawn while the row of the stream is locked, so their order is that of the commits.
create table stream (
  tenant     text collate "C" not null,
  name       text collate "C" not null,
  id         bigint           not null default nextval('stream_number'),
  last_ms    bigint           not null default 0, -- the highest id that was given
  last_seq   bigint           not null default 0,
  entries    bigint           not null default 0, -- how many there are
  bytes      bigint           not null default 0, -- of their data
  groups     bigint           not null default 0, -- rises when a group is added to the stream
  -- How far appends have trimmed: all up to this id was deleted, or passed over, mostly because a group had it pending.
  trim_ms    bigint           not null default 0,
  trim_seq   bigint           not null default 0,
  passed     bigint           not null default 0, -- how many were passed over
  trim_done  boolean          not null default true, -- false: entries to delete may remain
  trim_at    timestamptz      not null default clock_timestamp(), -- when this round began; 10 seconds later a new one may begin
  created_at timestamptz(3)   not null default clock_timestamp(),
  primary key (tenant, name)
) with (fillfactor = 50);

create table stream_entry (
  tenant    text collate "C" not null,
  stream_id bigint           not null,
  ms        bigint           not null,
  seq       bigint           not null,
  data      json             not null,
  bytes     integer          not null generated always as (octet_length(data::text)) stored,
  user_id   text collate "C",
  agent_id  text,
  primary key (stream_id, ms, seq),
  constraint stream_entry_user foreign key (tenant, user_id) references users (tenant, id)
);

create index stream_entry_by_user on stream_entry (tenant, user_id, stream_id, ms, seq) where user_id is not null;

create unique index stream_by_id on stream (id);

-- A group of consumers. Whoever delivers entries locks its row.
create table stream_group (
  tenant             text collate "C" not null,
  stream_id          bigint           not null,
  name               text collate "C" not null,
  id                 bigint           not null default nextval('stream_number'),
  after_ms           bigint           not null, -- the id after which it reads on
  after_seq          bigint           not null,
  visibility_seconds double precision not null,
  max_deliveries     integer,                   -- null: no limit
  trims              bigint           not null default 0, -- how often entries were deleted that it may not have read
  primary key (stream_id, name)
) with (fillfactor = 50);

create sequence stream_delivery;

-- What a group has delivered and is not done with: held by a consumer, given back, or a dead letter.
create table stream_pending (
  tenant       text collate "C" not null,
  group_id     bigint           not null,
  ms           bigint           not null,
  seq          bigint           not null,
  consumer     text collate "C" not null, -- '': nobody holds it
  delivery     bigint           not null, -- the number of the last delivery
  deliveries   integer          not null, -- how many there were
  delivered_at timestamptz(3)   not null,
  visible_at   timestamptz(3)   not null, -- from when it may be delivered again
  dead_at      timestamptz(3),
  history      jsonb            not null default '[]', -- how the last 20 deliveries ended
  primary key (group_id, ms, seq)
);

create index stream_pending_by_time on stream_pending (group_id, visible_at) where dead_at is null;

-- Streams and groups that were deleted, whose entries and pending entries are still there.
create table stream_remains (
  tenant text collate "C" not null,
  id     bigint           primary key
);

create view tenant_tables.stream as select * from stream where works_for(tenant) with local check option;
create view tenant_tables.stream_entry as select * from stream_entry where works_for(tenant) with local check option;
create view tenant_tables.stream_group as select * from stream_group where works_for(tenant) with local check option;
create view tenant_tables.stream_pending as select * from stream_pending where works_for(tenant) with local check option;
create view tenant_tables.stream_remains as select * from stream_remains where works_for(tenant) with local check option;

-- The history with one delivery more, which has ended.
create function with_past_delivery(history jsonb, consumer text, delivered_at timestamptz, ending text, reason text)
returns jsonb language sql immutable parallel safe as $$
  select case when jsonb_array_length(history) >= 20 then history - 0 else history end
    || jsonb_strip_nulls(jsonb_build_object(
      'consumer', consumer, 'at', (extract(epoch from delivered_at) * 1000)::bigint, 'end', ending, 'reason', reason))
$$;

-- How much is stored in streams, as in migration 0015, without spaces. Of kind `stream`: streams and groups are rows; an entry takes the
-- bytes of its data and 64 more. Of kind `pending`: pending entries and dead letters are rows.
create function count_streams() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta select tenant, 'stream', '', count(*), 0, 0, 0 from new_row group by tenant;
  else
    insert into usage_delta select tenant, 'stream', '', -count(*), 0, 0, 0 from old_row group by tenant;
  end if;
  return null;
end
$$;

create function count_stream_entries() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta select tenant, 'stream', '', 0, 0, sum(bytes) + 64 * count(*), 0 from new_row group by tenant;
  else
    insert into usage_delta select tenant, 'stream', '', 0, 0, -sum(bytes) - 64 * count(*), 0 from old_row group by tenant;
  end if;
  return null;
end
$$;

create function count_stream_pending() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta select tenant, 'pending', '', count(*), 0, 0, 0 from new_row group by tenant;
  else
    insert into usage_delta select tenant, 'pending', '', -count(*), 0, 0, 0 from old_row group by tenant;
  end if;
  return null;
end
$$;

create trigger count_insert after insert on stream
  referencing new table as new_row for each statement execute function count_streams();
create trigger count_delete after delete on stream
  referencing old table as old_row for each statement execute function count_streams();
create trigger count_insert after insert on stream_group
  referencing new table as new_row for each statement execute function count_streams();
create trigger count_delete after delete on stream_group
  referencing old table as old_row for each statement execute function count_streams();
create trigger count_insert after insert on stream_entry
  referencing new table as new_row for each statement execute function count_stream_entries();
create trigger count_delete after delete on stream_entry
  referencing old table as old_row for each statement execute function count_stream_entries();
create trigger count_insert after insert on stream_pending
  referencing new table as new_row for each statement execute function count_stream_pending();
create trigger count_delete after delete on stream_pending
  referencing old table as old_row for each statement execute function count_stream_pending();

-- As in 0011, but that what is neither an array nor a stored version stays as it is: the ids of entries, the channel of an event.
create or replace function slim_result(result json) returns json language sql immutable parallel safe as $$
  select case
    when json_typeof(result) = 'array' then (
      select json_agg(case when number in (6, 8) then null else cell end order by number)
      from json_array_elements(result) with ordinality as c (cell, number))
    when result -> 'stored' is null then result
    else json_build_object('stored', (
      select json_object_agg(name, case when name in ('data', 'metadata') then null else field end)
      from json_each(result -> 'stored') as f (name, field)))
  end
$$;
