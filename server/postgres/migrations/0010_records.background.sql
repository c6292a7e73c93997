-- Rewrites what records are found by, in code: server/storage/versions/rewrite.ts. A new database has no records.
select 0 as rows, false as more;
