-- Who creates a key or a record first locks its name, by advisory locks (storage/creation.ts). Before, only the unique indexes kept two
-- from creating the same, and who came second had to wait there for the transaction of the first.
--
-- A server of the release before takes no such locks. So the views move to another schema, and those that it finds under the old names
-- fail each of its statements, as in 0006.
create schema tenant_rows;
do $$
declare
  name text;
begin
  foreach name in array array['users', 'mutable', 'mutable_access', 'request', 'immutable', 'immutable_version'] loop
    execute format('alter view tenant_view.%I set schema tenant_rows', name);
  end loop;
end
$$;

create function tenant_view.refuse_older_server() returns boolean language plpgsql stable as $$
begin
  raise exception 'this server is older than its database: the schema is of migration 0013'
    using errcode = 'cannot_connect_now', hint = 'Start the release that brought the database up to date, or a later one.';
end
$$;

do $$
declare
  name text;
begin
  foreach name in array array['users', 'mutable', 'mutable_access', 'request', 'immutable', 'immutable_version'] loop
    execute format('create view tenant_view.%1$I as select * from tenant_rows.%1$I where tenant_view.refuse_older_server() with local check option', name);
  end loop;
end
$$;

-- The number of an advisory lock. A secret of this database is in it, so that nobody can look for a name whose lock is that of another
-- tenant's. (creation_lock stays: statements of older servers name it, and must get as far as the views.)
do $$
begin
  execute format($function$
    create function lock_of(kind text, tenant text, space text, name text) returns bigint language sql immutable parallel safe as $body$
      select ('x' || left(encode(sha256(convert_to(
        %L || kind || E'\1' || tenant || E'\1' || space || E'\1' || name, 'UTF8')), 'hex'), 16))::bit(64)::bigint
    $body$ $function$, gen_random_uuid()::text || gen_random_uuid()::text);
end
$$;

-- True if there is a row now, also if the statement that asks does not see it: a volatile function sees what was committed since.
create function entry_exists(of_tenant text, of_namespace text, of_key text) returns boolean language plpgsql volatile as $$
begin
  return exists (select from mutable m where m.tenant = of_tenant and m.namespace = of_namespace and m.key = of_key);
end
$$;
