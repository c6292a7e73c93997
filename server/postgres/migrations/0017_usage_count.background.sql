-- Counts what was stored before migration 0015, in code: server/storage/usage/first-count.ts. A new database has nothing to count.
select 0 as rows, false as more;
