-- The sweep finds old audit records of all tenants. An index that was interrupted while it was built is dropped and built anew.
drop index concurrently if exists immutable_audit_by_age;

create index concurrently immutable_audit_by_age on immutable (created_at) where type = '$cortex/audit';
