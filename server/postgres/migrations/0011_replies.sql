-- Stored replies are bounded: an operation keeps its value and metadata only up to 4 KiB, and a tenant's large replies together up to
-- --reply-bytes. What is left out is null in the reply.
alter table request add column bytes integer; -- of the reply; null: unknown or slimmed

create or replace view tenant_view.request as select * from request where works_for(tenant) with local check option;

-- The result of an operation without its value and metadata: an array of cells, or an object with the version that was stored.
create function slim_result(result json) returns json language sql immutable parallel safe as $$
  select case json_typeof(result)
    when 'array' then (
      select json_agg(case when number in (6, 8) then null else cell end order by number)
      from json_array_elements(result) with ordinality as c (cell, number))
    else json_build_object('stored', (
      select json_object_agg(name, case when name in ('data', 'metadata') then null else field end)
      from json_each(result -> 'stored') as f (name, field)))
  end
$$;

-- A reply without all that may be large: of operations, or of one store, user or purge.
create function slim_reply(reply json) returns json language sql immutable parallel safe as $$
  select case json_typeof(reply)
    when 'array' then (select json_agg(slim_result(result) order by number) from json_array_elements(reply) with ordinality as r (result, number))
    else (
      select json_object_agg(name, case when name in ('metadata', 'profile', 'keys', 'shown') then null else field end)
      from json_each(reply) as f (name, field))
  end
$$;
