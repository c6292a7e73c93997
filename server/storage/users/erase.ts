// Counts and erases the data that is linked to a user, table by table. A new table that names users belongs
// both in `countLinked` and in `erase`.
import type { Run, Sql } from "../../postgres/connection.js";
import { lockStreams } from "../streams/lock.js";

/** Numbers of rows by table. */
export interface Counts {
  users: number;
  mutable: number;
  mutable_access: number;
  immutable: number;
  immutable_version: number;
  request: number;
  change: number;
  claim: number;
  claim_waiter: number;
  stream_entry: number;
  stream_pending: number;
}

type Row = Record<keyof Counts, string>;

/**
 * Counts what is linked to the user. For `immutable`, the records that have nothing but versions of the user.
 */
export async function countLinked(run: Run, tenant: string, id: string): Promise<Counts> {
  const [row] = await run<Row>(
    (sql) => sql`
      select
        (select count(*) from users u where u.tenant = ${tenant} and u.id = ${id}) as users,
        (select count(*) from mutable m where m.tenant = ${tenant} and m.user_id = ${id}) as mutable,
        (select count(*) from mutable m
          join mutable_access a on a.tenant = m.tenant and a.namespace = m.namespace and a.key = m.key
          where m.tenant = ${tenant} and m.user_id = ${id}) as mutable_access,
        (select count(*) from (
          select distinct v.type, v.id from immutable_version v where v.tenant = ${tenant} and v.user_id = ${id}) as own_version
          where not exists (
            select from immutable_version o where o.tenant = ${tenant} and o.type = own_version.type and o.id = own_version.id
              and o.data is not null and o.user_id is distinct from ${id})) as immutable,
        (select count(*) from immutable_version v where v.tenant = ${tenant} and v.user_id = ${id}) as immutable_version,
        (select count(*) from request r
          where r.tenant = ${tenant} and r.user_ids @> array[${id}] and r.user_ids <> '{}') as request,
        (select count(*) from change c where c.tenant = ${tenant} and (c.user_id = ${id} or c.old_user_id = ${id})) as change,
        (select count(*) from claim c where c.tenant = ${tenant} and c.user_id = ${id}) as claim,
        (select count(*) from claim_waiter w where w.tenant = ${tenant} and w.user_id = ${id}) as claim_waiter,
        (select count(*) from stream_entry e where e.tenant = ${tenant} and e.user_id = ${id}) as stream_entry,
        (select count(*) from stream_entry e join stream_group g on g.stream_id = e.stream_id
          join stream_pending p on p.group_id = g.id and p.ms = e.ms and p.seq = e.seq
          where e.tenant = ${tenant} and e.user_id = ${id}) as stream_pending`,
  );
  return numbers(row);
}

/**
 * Locks the user; false if there is none. From then on nobody can link anything to the user, and earlier
 * writes that linked something have ended.
 */
export async function lockUser(run: Run, tenant: string, id: string): Promise<boolean> {
  const rows = await run(
    (sql) => sql`select u.id from users u where u.tenant = ${tenant} and u.id = ${id} for update`,
  );
  return rows.length > 0;
}

/**
 * Erases the user, who is locked, and everything linked. It takes several statements, because each sees only
 * what was committed when it began. Entries are deleted first, which waits for writes to them. Only then does
 * a later statement see the replies that these writes have stored. In the same way, records are locked before
 * their versions are read.
 */
export async function erase(run: Run, tenant: string, id: string): Promise<Counts> {
  const [entries] = await run<Pick<Row, "mutable" | "mutable_access">>(
    (sql) => sql`
      with deleted as materialized (
        delete from mutable m where m.tenant = ${tenant} and m.user_id = ${id} returning m.namespace, m.key
      )
      select (select count(*) from deleted) as mutable,
        (select count(*) from deleted join mutable_access a on a.tenant = ${tenant} and a.namespace = deleted.namespace and a.key = deleted.key)
          as mutable_access`,
  );
  await run(
    (sql) => sql`
      select h.version from immutable h
      where h.tenant = ${tenant} and (h.type, h.id) in (
        select v.type, v.id from immutable_version v where v.tenant = ${tenant} and v.user_id = ${id})
      order by h.type, h.id
      for no key update`,
  );
  const [versions] = await run<Pick<Row, "immutable" | "immutable_version">>(
    (sql) => sql`
      with own_version as materialized (
        select v.type, v.id, count(*) as versions from immutable_version v
        where v.tenant = ${tenant} and v.user_id = ${id} group by v.type, v.id
      ), shared_record as materialized ( -- records that have versions of others too
        select own_version.type, own_version.id from own_version
        where exists (
          select from immutable_version o where o.tenant = ${tenant} and o.type = own_version.type and o.id = own_version.id
            and o.data is not null and o.user_id is distinct from ${id})
      ), deleted as (
        delete from immutable h
        where h.tenant = ${tenant} and (h.type, h.id) in (select type, id from own_version except select type, id from shared_record)
        returning 1
      ), erased as (
        update immutable_version v
        set data = null, metadata = '{}', user_id = null, agent_id = null, principal = null, request_id = null, salt = ''
        where v.tenant = ${tenant} and v.user_id = ${id} and (v.type, v.id) in (select type, id from shared_record)
        returning v.type, v.id, v.version
      ), without_current as (
        update immutable h
        set erased = true, user_id = null, agent_id = null, principal = null, metadata = '{}', labels = '{}',
          data_text = '', data_words = '', metadata_text = null, metadata_words = null
        from erased
        where h.tenant = ${tenant} and h.type = erased.type and h.id = erased.id and h.version = erased.version
      )
      select (select count(*) from deleted) as immutable, (select coalesce(sum(versions), 0) from own_version) as immutable_version`,
  );
  const [claims] = await run<Pick<Row, "claim" | "claim_waiter">>(
    (sql) => sql`
      with claims as (
        delete from claim c where c.tenant = ${tenant} and c.user_id = ${id} returning 1
      ), waiters as (
        delete from claim_waiter w where w.tenant = ${tenant} and w.user_id = ${id} returning 1
      )
      select (select count(*) from claims) as claim, (select count(*) from waiters) as claim_waiter`,
  );
  const [streams] = await eraseFromStreams(run, tenant, id);
  const [rest] = await run<Pick<Row, "request" | "users">>(
    (sql) => sql`
      with emptied as (
        update request r set reply = null, fingerprint = '', user_ids = '{}'
        where r.tenant = ${tenant} and r.user_ids @> array[${id}] and r.user_ids <> '{}'
        returning 1
      ), deleted as (
        delete from users u where u.tenant = ${tenant} and u.id = ${id} returning 1
      )
      select (select count(*) from emptied) as request, (select count(*) from deleted) as users`,
  );
  const change = await eraseChanges(run, tenant, id);
  return numbers({
    ...entries,
    ...versions,
    ...claims,
    ...streams,
    ...rest,
    change: `${change}`,
  } as Row);
}

/**
 * Erases the user from the log of changes, which has one `erase` for each of the keys by now. What was set there
 * becomes a mark, so that the order of the others stays. A removal becomes an `erase`, if it is the last of its
 * key. Tells the readers of all servers whose changes they must not send any more.
 */
async function eraseChanges(run: Run, tenant: string, id: string): Promise<number> {
  const isOwn = (sql: Sql) => sql`c.user_id is not distinct from ${id}`;
  const isMark = (sql: Sql) =>
    sql`(${isOwn(sql)} or (c.kind <> 'set' and c.id not in (select id from last)))`;
  const erased = await run(
    (sql) => sql`
      with last as materialized ( -- removals that are the last of their key
        select linked.id from (
          select c.id, c.value is null and not exists (
              select from change o where o.xid = pg_current_xact_id() and o.tenant = c.tenant and o.store = c.store and o.space = c.space and o.name = c.name
            ) and c.id = max(c.id) over (partition by c.store, c.space, c.name) as is_last
          from change c where c.tenant = ${tenant} and (c.user_id = ${id} or c.old_user_id = ${id})
        ) as linked where is_last
      )
      update change c set
        kind = case when ${isOwn(sql)} then 'commit' when c.kind = 'set' then 'set' when c.id in (select id from last) then 'erase' else 'commit' end,
        store = case when ${isMark(sql)} then 'mark' else c.store end,
        space = case when ${isMark(sql)} then '' else c.space end,
        name = case when ${isMark(sql)} then '' else c.name end,
        value = case when not ${isOwn(sql)} then c.value end, bytes = case when ${isOwn(sql)} then 0 else c.bytes end,
        agent_id = case when c.kind = 'set' and not ${isOwn(sql)} then c.agent_id end,
        user_id = case when not ${isOwn(sql)} then c.user_id end, old_user_id = null
      where c.tenant = ${tenant} and (c.user_id = ${id} or c.old_user_id = ${id}) returning 1`,
  );
  await run(
    (sql) => sql`
      insert into change (slot, tenant, store, space, name, kind, is_new, value, bytes, revision, at)
      select f.slot, ${tenant}, 'mark', '', '', 'erased', false,
        to_json(encode(sha256(convert_to(f.secret || E'\\x01' || ${tenant}::text || E'\\x01' || ${id}::text, 'UTF8')), 'hex')), 66, 0, clock_timestamp()
      from feed f where f.retention_seconds > 0`,
  );
  return erased.length;
}

/** Deletes the user's entries of streams, and takes them from the groups. */
async function eraseFromStreams(
  run: Run,
  tenant: string,
  id: string,
): Promise<Pick<Row, "stream_entry" | "stream_pending">[]> {
  await lockStreams(
    run,
    (sql) => sql`
      s.tenant = ${tenant} and s.id = any(array(select e.stream_id from stream_entry e where e.tenant = ${tenant} and e.user_id = ${id}))`,
  );
  return run(
    (sql) => sql`
      with deleted as (
        delete from stream_entry e where e.tenant = ${tenant} and e.user_id = ${id} returning e.stream_id, e.ms, e.seq, e.bytes
      ), unpended as (
        delete from stream_pending p using deleted d, stream_group g
        where g.stream_id = d.stream_id and p.group_id = g.id and p.ms = d.ms and p.seq = d.seq returning 1
      ), updated as ( -- an insert that always conflicts: see storage/entries/statement.ts
        insert into stream as s (tenant, name, entries, bytes)
        select ${tenant}, h.name, h.entries - count(*), h.bytes - sum(d.bytes)
        from deleted d cross join lateral (
          select h.name, h.entries, h.bytes from stream h where h.id = d.stream_id offset 0
        ) as h
        group by h.name, h.entries, h.bytes
        on conflict (tenant, name) do update set entries = excluded.entries, bytes = excluded.bytes
      )
      select (select count(*) from deleted) as stream_entry, (select count(*) from unpended) as stream_pending`,
  );
}

const numbers = (row: Row | undefined): Counts => ({
  users: Number(row?.users ?? 0),
  mutable: Number(row?.mutable ?? 0),
  mutable_access: Number(row?.mutable_access ?? 0),
  immutable: Number(row?.immutable ?? 0),
  immutable_version: Number(row?.immutable_version ?? 0),
  request: Number(row?.request ?? 0),
  change: Number(row?.change ?? 0),
  claim: Number(row?.claim ?? 0),
  claim_waiter: Number(row?.claim_waiter ?? 0),
  stream_entry: Number(row?.stream_entry ?? 0),
  stream_pending: Number(row?.stream_pending ?? 0),
});
