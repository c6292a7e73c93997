-- The entries of a tenant that have expired and are not swept yet: a count of entries subtracts them.
drop index concurrently if exists mutable_expired;
create index concurrently mutable_expired on mutable (tenant, expire_at, namespace) where expire_at is not null;
