-- The indexes that lists of records read in order hold only the records that are listed. So no look-up of a record by its name can use
-- them: Postgres 18 skips through an index whose second column is not asked for, and took one of these for the primary key while it knew
-- little about the table.
drop index concurrently if exists immutable_listed_by_time;
create index concurrently immutable_listed_by_time on immutable (tenant, created_at, type, id) where not erased;
drop index concurrently if exists immutable_listed_by_type;
create index concurrently immutable_listed_by_type on immutable (tenant, type, created_at, id) where not erased;
drop index concurrently if exists immutable_listed_by_version;
create index concurrently immutable_listed_by_version on immutable (tenant, version, type, id) where not erased;
drop index concurrently if exists immutable_by_time;
drop index concurrently if exists immutable_by_type;
drop index concurrently if exists immutable_by_version;
