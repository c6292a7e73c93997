-- The number of a waiter's place in the queue for a claim; null if it has none. Volatile, so that a statement that calls it after
-- acquire_claim (migration 0021) gets the place which that has just taken.
create function claim_place(of_tenant text, of_name text, waiter text) returns bigint language plpgsql volatile as $$
begin
  return (select w.number from claim_waiter w where w.tenant = of_tenant and w.name = of_name and w.id = waiter);
end
$$;
