-- A name in a scope stands behind the path of the scope (server/validation/scope.ts): E'\x01', the keys and identifiers of its steps with
-- E'\x02' between them, E'\x01', the name. No other name begins with a control character.
create function own_name(name text) returns text language sql immutable strict parallel safe as $$
  select case when left(name, 1) = E'\x01' then substr(name, strpos(substr(name, 2), E'\x01') + 2) else name end
$$;

-- The steps of the path, as a list of pairs; null for none.
create function scope_path(name text) returns json language sql immutable strict parallel safe as $$
  select case when left(name, 1) = E'\x01' then (
    select json_agg(json_build_array(parts[i], parts[i + 1]) order by i)
    from string_to_array(left(substr(name, 2), strpos(substr(name, 2), E'\x01') - 1), E'\x02') as parts, generate_series(1, cardinality(parts), 2) as i
  ) end
$$;
