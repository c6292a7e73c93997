-- The audit trail moves from the users' type `audit-log` to the server's own type `$cortex/audit`. Migration 0007 moves the records, in the
-- background.
--
-- A server of the release before would still write records of the type `audit-log`. So the views move to another schema. The views that
-- it finds under the old names make each of its statements fail with 57P03 (the database is starting up), which it reports as not applied.
create schema tenant_view;
do $$
declare
  name text;
begin
  foreach name in array array['users', 'mutable', 'mutable_access', 'request', 'immutable', 'immutable_version'] loop
    execute format('alter view of_tenant.%I set schema tenant_view', name);
  end loop;
end
$$;

create function of_tenant.refuse_older_server() returns boolean language plpgsql stable as $$
begin
  raise exception 'this server is older than its database: the schema is of migration 0006'
    using errcode = 'cannot_connect_now', hint = 'Start the release that brought the database up to date, or a later one.';
end
$$;

do $$
declare
  name text;
begin
  foreach name in array array['users', 'mutable', 'mutable_access', 'request', 'immutable', 'immutable_version'] loop
    execute format('create view of_tenant.%1$I as select * from tenant_view.%1$I where of_tenant.refuse_older_server() with local check option', name);
  end loop;
end
$$;
