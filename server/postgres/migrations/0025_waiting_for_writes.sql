-- As in 0021, but that whoever waits for the end of a write under a claim that is over gets a place in the queue too.
--
-- One attempt to acquire a claim. The outcome:
--   acquired   the claim is in the other columns
--   waits      somebody holds it, or comes first; `wait_ms`: when to look again at the latest
--   repeated   a reply is stored under the request id
--   locked     somebody is changing the claim, or still writes under it (whoever waits for that gets `waits`)
--   no user    there is no such user; or its row is locked: `user locked`
create or replace function acquire_claim(
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
      if stays then
        insert into claim_waiter as w (tenant, name, id, user_id, seen_at) values (of_tenant, of_name, waiter, of_user, clock_timestamp())
        on conflict (tenant, name, id) do update set seen_at = excluded.seen_at;
      end if;
      outcome := case when stays then 'waits' else 'locked' end;
      wait_ms := 20;
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
