-- One sequence for all entries: a revision never comes again, also after a key was deleted and created anew.
create sequence revision;

create table mutable (
  tenant           text collate "C" not null,
  namespace        text collate "C" not null,
  key              text collate "C" not null,
  value            json             not null,
  bytes            integer          not null generated always as (octet_length(value::text)) stored,
  user_id          text collate "C",
  metadata         json             not null default '{}',
  created_at       timestamptz(3)   not null,
  updated_at       timestamptz(3)   not null,
  expire_at        timestamptz(3),
  revision         bigint           not null,
  created_revision bigint           not null, -- names the life of the entry: what belongs to an earlier life of the key does not match
  primary key (tenant, namespace, key),
  constraint mutable_user foreign key (tenant, user_id) references users (tenant, id)
) with (fillfactor = 80); -- room for updates in place (HOT): no index holds what a write changes, but expiry and user

create index mutable_by_user on mutable (tenant, user_id) where user_id is not null;
create index mutable_by_expiry on mutable (expire_at) where expire_at is not null;

-- Reads are counted here, in batches, so that a read never writes to the entry and never waits for its lock.
create table mutable_access (
  tenant           text collate "C" not null,
  namespace        text collate "C" not null,
  key              text collate "C" not null,
  created_revision bigint           not null,
  count            bigint           not null,
  accessed_at      timestamptz(3)   not null,
  primary key (tenant, namespace, key),
  foreign key (tenant, namespace, key) references mutable (tenant, namespace, key) on delete cascade
);

-- JSON merge patch (RFC 7396) on text: the order of members and the spelling of numbers stay. Lexing JSON in Postgres fails on
-- escapes it cannot hold as text (\u0000, half a surrogate pair), so these travel through it under the private-use character
-- U+E000, which itself becomes U+E000 and "_". Whole pairs are set aside while the halves are looked for.
create function json_escapes_hide(value text) returns text language sql immutable strict parallel safe as $$
  select case when value ~ '\\u|\uE000' then
    regexp_replace(regexp_replace(regexp_replace(regexp_replace(
      replace(value, U&'\E000', U&'\E000_'),
      '(?<!\\)((?:\\\\)*)\\u[eE]000', U&'\\1\E000_', 'g'),
      '(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})', U&'\\1\E000p\\2\\3', 'g'),
      '(?<!\\)((?:\\\\)*)\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', U&'\\1\E000\\2', 'g'),
      '\uE000p(.{4})(.{4})', '\\u\1\\u\2', 'g')
  else value end
$$;

create function json_escapes_show(value text) returns text language sql immutable strict parallel safe as $$
  select case when value ~ '\uE000' then
    replace(regexp_replace(value, '\uE000([0-9a-fA-F]{4})', '\\u\1', 'g'), U&'\E000_', U&'\E000')
  else value end
$$;

create function json_merge(target json, patch json) returns json language plpgsql immutable strict parallel safe as $$
begin
  if json_typeof(patch) <> 'object' then
    return patch;
  end if;
  if json_typeof(target) <> 'object' then
    target := '{}';
  end if;
  return (
    with
      -- of members that repeat, the last one counts, as for every JSON parser
      old as (select distinct on (key) key, value, place from json_each(target) with ordinality as member (key, value, place)
              order by key, place desc),
      new as (select distinct on (key) key, value, place from json_each(patch) with ordinality as member (key, value, place)
              order by key, place desc)
    select '{' || coalesce(
      string_agg(
        to_json(coalesce(old.key, new.key))::text || ':'
          || case when new.key is null then old.value else json_merge(coalesce(old.value, 'null'), new.value) end::text,
        ',' order by old.place nulls last, new.place),
      '') || '}'
    from old full join new on old.key = new.key
    where new.key is null or json_typeof(new.value) <> 'null');
end
$$;

create function json_merge_patch(target json, patch json) returns json language sql immutable strict parallel safe as $$
  select json_escapes_show(json_merge(json_escapes_hide(target::text)::json, json_escapes_hide(patch::text)::json)::text)::json
$$;
