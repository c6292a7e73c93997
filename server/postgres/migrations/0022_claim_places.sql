-- The number of a waiter in the queue for a claim; null if it does not wait. Volatile, so that a statement that calls
-- it after acquire_claim (migration 0021) gets the number which that has just drawn.
create function claim_place(of_tenant text, of_name text, waiter text) returns bigint language plpgsql volatile as $$
begin
  return (select w.number from claim_waiter w where w.tenant = of_tenant and w.name = of_name and w.id = waiter);
end
$$;
