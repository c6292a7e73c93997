-- A merge costs less for each level of its patch: the result of a level is text, which is not parsed again, and the escapes that Postgres
-- cannot take are looked for without regular expressions where there are none.

create or replace function json_escapes_hide(value text) returns text language plpgsql immutable strict parallel safe as $$
declare
  apart text; -- whole pairs set aside
begin
  if value !~ '\\u(?:0000|[dD][89a-fA-F]|[eE]000)|\uE000' then
    return value;
  end if;
  -- Every \\ is set aside first. Then each backslash that is left begins an escape.
  value := replace(replace(value, U&'\E000', U&'\E000_'), '\\', U&'\E000b');
  value := replace(replace(replace(value, '\ue000', U&'\E000_'), '\uE000', U&'\E000_'), '\u0000', U&'\E0000000');
  if value ~ '\\u[dD][89a-fA-F]' then
    apart := regexp_replace(value, '\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})', U&'\E000p\\1\\2', 'g');
    if apart ~ '\\u[dD][89a-fA-F]' then
      apart := regexp_replace(apart, '\\u([dD][89a-fA-F][0-9a-fA-F]{2})', U&'\E000\\1', 'g');
      value := regexp_replace(apart, '\uE000p(.{4})(.{4})', '\\u\1\\u\2', 'g');
    end if;
  end if;
  return replace(value, U&'\E000b', '\\');
end
$$;

create or replace function json_escapes_show(value text) returns text language sql immutable strict parallel safe as $$
  select case when strpos(value, U&'\E000') > 0 then
    replace(regexp_replace(value, '\uE000([0-9a-fA-F]{4})', '\\u\1', 'g'), U&'\E000_', U&'\E000')
  else value end
$$;

-- What a patch, an object, makes of a target. (With the usual cost of a function in plpgsql, its queries would be planned for each call.)
create function json_merge_object(target json, patch json) returns text language plpgsql immutable parallel safe cost 1 as $$
begin
  if json_typeof(target) <> 'object' then
    target := '{}';
  end if;
  return (
    with
      -- of members that repeat, the last one counts, as for every JSON parser
      old as (
        select distinct on (key collate "C") key collate "C" as key, value, place
        from json_each(target) with ordinality as member (key, value, place) order by key collate "C", place desc),
      new as (
        select distinct on (key collate "C") key collate "C" as key, value, place
        from json_each(patch) with ordinality as member (key, value, place) order by key collate "C", place desc)
    select '{' || coalesce(
      string_agg(
        to_json(coalesce(old.key, new.key))::text || ':' || case
          when new.key is null then old.value::text
          when json_typeof(new.value) = 'object' then json_merge_object(coalesce(old.value, 'null'), new.value)
          else new.value::text end,
        ',' order by old.place nulls last, new.place),
      '') || '}'
    from old full join new on old.key = new.key
    where new.key is null or json_typeof(new.value) <> 'null');
end
$$;

create or replace function json_merge_patch(target json, patch json) returns json language plpgsql immutable strict parallel safe as $$
declare
  merged text;
begin
  if json_typeof(patch) <> 'object' then
    return patch;
  end if;
  merged := json_merge_object(json_escapes_hide(target::text)::json, json_escapes_hide(patch::text)::json);
  return json_escapes_show(merged)::json;
end
$$;
