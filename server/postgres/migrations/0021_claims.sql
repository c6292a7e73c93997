-- Claims: one agent at a time holds a name. The fence is drawn from the sequence of revisions, so it only grows.
create table claim (
  tenant      text collate "C" not null,
  name        text collate "C" not null,
  owner       text             not null,
  value       json,
  bytes       integer          not null generated always as (coalesce(octet_length(value::text), 0)) stored,
  user_id     text collate "C",
  agent_id    text,
  fence       bigint           not null,
  acquired_at timestamptz(3)   not null,
  expires_at  timestamptz(3)   not null,
  primary key (tenant, name),
  constraint claim_user foreign key (tenant, user_id) references users (tenant, id)
) with (fillfactor = 80);

create index claim_by_user on claim (tenant, user_id) where user_id is not null;
create index claim_by_expiry on claim (expires_at);

-- Who waits for a claim, in the order of arrival. A waiter that was not seen for 2 seconds is gone.
create sequence claim_waiter_number;
create table claim_waiter (
  tenant  text collate "C" not null,
  name    text collate "C" not null,
  id      text             not null, -- of the request
  number  bigint           not null default nextval('claim_waiter_number'),
  user_id text collate "C",
  seen_at timestamptz      not null,
  primary key (tenant, name, id)
);

create index claim_waiter_by_number on claim_waiter (tenant, name, number);
create index claim_waiter_by_user on claim_waiter (tenant, user_id) where user_id is not null;

create view tenant_tables.claim as select * from claim where works_for(tenant) with local check option;
create view tenant_tables.claim_waiter as select * from claim_waiter where works_for(tenant) with local check option;

-- One attempt to acquire a claim. The outcome:
--   acquired   the claim is in the other columns
--   waits      somebody holds it, or comes first; `wait_ms`: when to look again at the latest
--   repeated   a reply is stored under the request id
--   locked     somebody is changing the claim, or writes under it
--   no user    there is no such user; or its row is locked: `user locked`
create function acquire_claim(
  of_tenant text, of_name text, of_owner text, of_value json, of_user text, of_agent text, ttl_seconds double precision,
  request text, waiter text, stays boolean)
returns table (outcome text, fence bigint, acquired_at timestamptz, expires_at timestamptz, wait_ms double precision)
language plpgsql as $$
declare
  held claim%rowtype;
  first_waiter text;
  has_row boolean;
  at timestamptz;
begin
  if request is not null and exists (select from request r where r.tenant = of_tenant and r.id = acquire_claim.request) then
    outcome := 'repeated';
    return next;
    return;
  end if;
  if not pg_try_advisory_xact_lock(lock_of('claim', of_tenant, of_name, '')) then
    outcome := 'locked';
    return next;
    return;
  end if;
  if of_user is not null then
    perform from users u where u.tenant = of_tenant and u.id = of_user for key share skip locked;
    if not found then
      outcome := case when exists (select from users u where u.tenant = of_tenant and u.id = of_user) then 'user locked' else 'no user' end;
      return next;
      return;
    end if;
  end if;
  select c.* into held from claim c where c.tenant = of_tenant and c.name = of_name;
  has_row := found;
  at := date_trunc('milliseconds', clock_timestamp());
  delete from claim_waiter w
  where w.tenant = of_tenant and w.name = of_name and w.id <> waiter and w.seen_at < clock_timestamp() - interval '2 seconds';
  select w.id into first_waiter from claim_waiter w where w.tenant = of_tenant and w.name = of_name order by w.number limit 1;
  if (has_row and held.expires_at > at) or (first_waiter is not null and first_waiter <> waiter) then
    if stays then
      insert into claim_waiter as w (tenant, name, id, user_id, seen_at) values (of_tenant, of_name, waiter, of_user, clock_timestamp())
      on conflict (tenant, name, id) do update set seen_at = excluded.seen_at;
    end if;
    outcome := 'waits';
    wait_ms := case when has_row and held.expires_at > at then extract(epoch from held.expires_at - clock_timestamp()) * 1000 else 2000 end;
    return next;
    return;
  end if;
  if has_row then
    -- Whoever writes under the claim that is over has locked its row until that write has ended.
    perform from claim c where c.tenant = of_tenant and c.name = of_name and c.fence = held.fence and c.expires_at <= at for update skip locked;
    if not found then
      outcome := 'locked';
      return next;
      return;
    end if;
  end if;
  fence := nextval('revision');
  acquired_at := at;
  expires_at := at + ttl_seconds * interval '1 second';
  insert into claim as c (tenant, name, owner, value, user_id, agent_id, fence, acquired_at, expires_at)
  values (of_tenant, of_name, of_owner, of_value, of_user, of_agent, acquire_claim.fence, acquire_claim.acquired_at, acquire_claim.expires_at)
  on conflict (tenant, name) do update set
    owner = excluded.owner, value = excluded.value, user_id = excluded.user_id, agent_id = excluded.agent_id, fence = excluded.fence,
    acquired_at = excluded.acquired_at, expires_at = excluded.expires_at;
  delete from claim_waiter w where w.tenant = of_tenant and w.name = of_name and w.id = waiter;
  outcome := 'acquired';
  return next;
end
$$;

-- How much is stored in claims, as in migration 0015: kind `claim`, without spaces.
create function count_claims() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into usage_delta select tenant, 'claim', '', count(*), 0, sum(bytes), 0 from new_row group by tenant;
  elsif tg_op = 'DELETE' then
    insert into usage_delta select tenant, 'claim', '', -count(*), 0, -sum(bytes), 0 from old_row group by tenant;
  else
    insert into usage_delta
    select tenant, 'claim', '', 0, 0, sum(bytes), 0
    from (select tenant, bytes from new_row union all select tenant, -bytes from old_row) as change
    group by tenant having sum(bytes) <> 0;
  end if;
  return null;
end
$$;

create trigger count_insert after insert on claim
  referencing new table as new_row for each statement execute function count_claims();
create trigger count_update after update on claim
  referencing old table as old_row new table as new_row for each statement execute function count_claims();
create trigger count_delete after delete on claim
  referencing old table as old_row for each statement execute function count_claims();
