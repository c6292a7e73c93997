-- The large replies of a tenant, which are bounded together.
drop index concurrently if exists request_large;

create index concurrently request_large on request (tenant, created_at, bytes) where bytes > 1024;
