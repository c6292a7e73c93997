// Deletes what is stored in a scope and below it, or counts it.
import type { Run } from "../../postgres/connection.js";
import { isIn, type NameRange } from "../name-range.js";
import { removeStreams } from "../streams/remove.js";

export interface ScopeCounts {
  entries: number;
  records: number;
  versions: number;
  claims: number;
  streams: number;
}

interface Row extends Record<keyof ScopeCounts, string> {}

interface OwnedRow {
  first_user: string | null;
  last_user: string | null;
}

export async function countScope(run: Run, tenant: string, range: NameRange): Promise<ScopeCounts> {
  const [row] = await run<Row>(
    (sql) => sql`
      select (select count(*) from mutable m where m.tenant = ${tenant} and ${isIn(sql, sql`m.namespace`, range)}) as entries,
        count(*) as records, coalesce(sum(h.version - h.first_version + 1), 0) as versions,
        (select count(*) from claim c where c.tenant = ${tenant} and ${isIn(sql, sql`c.name`, range)}) as claims,
        (select count(*) from stream s where s.tenant = ${tenant} and ${isIn(sql, sql`s.name`, range)}) as streams
      from immutable h where h.tenant = ${tenant} and ${isIn(sql, sql`h.type`, range)}`,
  );
  return numbers(row);
}

/**
 * Deletes what is in the range, in the order in which other calls lock: claims, entries, records, streams. `userId` is
 * set if all that is deleted with a user has the same one.
 */
export async function removeScope(
  run: Run,
  tenant: string,
  range: NameRange,
): Promise<{ counts: ScopeCounts; userId: string | undefined }> {
  const claims = await run<Row & OwnedRow>(
    (sql) => sql`
      with deleted as (
        delete from claim c where c.tenant = ${tenant} and ${isIn(sql, sql`c.name`, range)} returning c.user_id
      )
      select count(*) as claims, min(user_id) as first_user, max(user_id) as last_user from deleted`,
  );
  const entries = await run<Row & OwnedRow>(
    (sql) => sql`
      with locked as materialized (
        select m.namespace, m.key from mutable m where m.tenant = ${tenant} and ${isIn(sql, sql`m.namespace`, range)}
        order by m.namespace, m.key for update
      ), deleted as (
        delete from mutable m using locked l where m.tenant = ${tenant} and m.namespace = l.namespace and m.key = l.key
        returning m.user_id
      )
      select count(*) as entries, min(user_id) as first_user, max(user_id) as last_user from deleted`,
  );
  // The records are locked before their versions are read: those that were stored meanwhile are seen too.
  await run(
    (sql) => sql`
      select from immutable h where h.tenant = ${tenant} and ${isIn(sql, sql`h.type`, range)} order by h.type, h.id for update`,
  );
  const records = await run<Row & OwnedRow>(
    (sql) => sql`
      with owner as materialized (
        select v.user_id from immutable_version v where v.tenant = ${tenant} and ${isIn(sql, sql`v.type`, range)}
      ), deleted as ( -- its versions are deleted with it
        delete from immutable h where h.tenant = ${tenant} and ${isIn(sql, sql`h.type`, range)}
        returning h.version - h.first_version + 1 as versions
      )
      select count(*) as records, coalesce(sum(versions), 0) as versions,
        (select min(user_id) from owner) as first_user, (select max(user_id) from owner) as last_user
      from deleted`,
  );
  const entriesOfStreams = await run<OwnedRow>(
    (sql) => sql`
      select min(e.user_id) as first_user, max(e.user_id) as last_user from stream_entry e
      where e.tenant = ${tenant} and e.user_id is not null and e.stream_id = any(array(
        select s.id from stream s where s.tenant = ${tenant} and ${isIn(sql, sql`s.name`, range)}))`,
  );
  const { streams } = await removeStreams(
    run,
    (sql) => sql`s.tenant = ${tenant} and ${isIn(sql, sql`s.name`, range)}`,
  );
  const rows = [...claims, ...entries, ...records];
  const users = new Set(
    [...rows, ...entriesOfStreams].flatMap(({ first_user, last_user }) => [first_user, last_user]),
  );
  users.delete(null);
  const [userId] = users.size === 1 ? users : [];
  const counts = numbers(Object.assign({ streams: `${streams}` }, ...rows) as Row);
  return { counts, userId: userId ?? undefined };
}

const numbers = (row: Row | undefined): ScopeCounts => ({
  entries: Number(row?.entries ?? 0),
  records: Number(row?.records ?? 0),
  versions: Number(row?.versions ?? 0),
  claims: Number(row?.claims ?? 0),
  streams: Number(row?.streams ?? 0),
});
