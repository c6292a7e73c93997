// Reads the log of changes: what is visible in one snapshot and not in another, in an order in which nothing
// comes before what it can have seen. Migrations 0019 and 0024 describe the log.
import type { Fragment, Run, Sql } from "../postgres/connection.js";
import { includes, parseSnapshot, type Snapshot } from "./snapshot.js";

export interface Change {
  tenant: string;
  store: "entry" | "record" | "event" | "mark";
  space: string;
  name: string;
  kind: "set" | "delete" | "expire" | "purge" | "erase" | "publish" | "erased";
  /** null: it was removed. */
  value: string | null;
  revision: string;
  user_id: string | null;
  agent_id: string | null;
  at: Date;
  /** Its transaction. */
  xid: string;
  /** The rank of its transaction, and its place in it. */
  rank: string;
  id: string;
}

/** A place in the feed: after all that is visible in `from`. Its snapshots are durable (migration 0023). */
export interface Position {
  from: Snapshot;
  /** If set, the place is within the batch of what is visible in `to` and not in `from`: after `after`. */
  to?: Snapshot | undefined;
  after?: readonly [rank: string, id: string] | undefined;
  /** If set, events are read too. They have snapshots of their own, which need not be durable: no event is either. */
  events?: { from: Snapshot; to?: Snapshot | undefined };
}

interface Page {
  epoch: string;
  /** That of the feed: see FeedState. */
  secret: string;
  /** Changes when Postgres crashes: then the events are lost. null: it has just crashed. */
  life: string | null;
  /** When it was read, by the database's clock, in milliseconds. */
  readAt: number;
  changes: Change[];
  /** The batch to which the changes belong. */
  batch: { from: Snapshot; to: Snapshot };
  /** The place after these changes. */
  next: Position;
}

interface PageOptions {
  /** undefined: of all tenants. */
  tenant?: string | undefined;
  /** Which changes `c`; undefined: all, with the marks of erasures. */
  matches?: ((sql: Sql) => Fragment) | undefined;
  /** The snapshot up to which to read; undefined: up to now. */
  until?: Snapshot | undefined;
  /** True for a reader that may be far behind: a page goes some steps towards `until`. */
  inSteps?: boolean;
  rowsMax: number;
  bytesMax: number;
}

interface Row extends Change {
  epoch: string;
  secret: string;
  life: string | null;
  read_at: number;
  retention_seconds: number;
  floor: string | null;
  tenant_floor: string | null;
  upto: string;
  events_upto: string;
  now: string;
  found: string | null;
}

/** Nothing is logged. */
export class Disabled extends Error {}
/** Changes after the position are not kept any more. */
export class Dropped extends Error {}

const stepTransactions = 1000; // a reader that is far behind goes on by about so many at a time

/** Reads the changes that follow a position. Throws Disabled or Dropped. */
export async function readPage(
  run: Run,
  { from, to, after, events }: Position,
  { tenant, matches, until, inSteps = false, rowsMax, bytesMax }: PageOptions,
): Promise<Page> {
  const end = (sql: Sql) => {
    if (to) return sql`${to.text}::text`;
    const last = until ? sql`${until.text}::text` : sql`durable_snapshot()`;
    return inSteps ? sql`coalesce(${step(sql, from, last)}, ${last})` : last;
  };
  const rows = await run<Row>(
    (sql) => sql`
      with state as materialized (
        select f.epoch, f.secret, (select id from event_life) as life, (extract(epoch from clock_timestamp()) * 1000)::float8 as read_at, f.retention_seconds, f.floor::text, ${
          tenant === undefined
            ? sql`null::text`
            : sql`(select t.floor::text from feed_floor t where t.tenant = ${tenant})`
        } as tenant_floor, pg_current_snapshot()::text as now,
          ${end(sql)} as upto, ${events?.to ? sql`${events.to.text}::text` : sql`pg_current_snapshot()::text`} as events_upto
        from feed f
      ), fresh as materialized (
        select c.*, max(c.id) over (partition by c.xid, c.tenant) as rank,
          c.store = 'event' or c.id = max(c.id) over (partition by c.xid, c.tenant, c.store, c.space, c.name, (c.kind = 'expire')) as is_last,
          first_value(c.is_new) over (partition by c.xid, c.tenant, c.store, c.space, c.name order by (c.kind = 'expire'), c.id) as was_new
        from (
          select c.* from change c
          where c.slot < 8 and ${tenant === undefined ? sql`true` : sql`c.tenant = ${tenant}`} and ${isNew(sql, from)}
            and pg_visible_in_snapshot(c.xid, (select upto::pg_snapshot from state))
          ${
            events
              ? sql`union all
                select c.* from change c
                where c.slot >= 8 and ${isNew(sql, events.from)}
                  and pg_visible_in_snapshot(c.xid, (select events_upto::pg_snapshot from state))`
              : sql``
          }
        ) as c
      ), page as materialized (
        select c.*, sum(c.bytes + 200) over (order by c.rank, c.id) as sum
        from fresh c
        where c.is_last and c.kind <> 'commit' and not (c.was_new and c.kind in ('delete', 'purge', 'erase')) ${
          after ? sql`and (c.rank, c.id) > (${after[0]}::bigint, ${after[1]}::bigint)` : sql``
        } and ${matches ? sql`c.store <> 'mark' and ${matches(sql)}` : sql`true`}
        order by c.rank, c.id limit ${rowsMax + 1}
      )
      select state.*, (select count(*) from page) as found, page.tenant, page.store, page.space, page.name, page.kind, page.value::text as value,
        page.revision, page.user_id, page.agent_id, page.at, page.xid::text, page.rank, page.id
      from state
      left join (select * from page order by rank, id limit ${rowsMax}) as page on page.sum <= ${bytesMax} or page.sum = page.bytes + 200
      order by page.rank, page.id`,
  );
  const [first] = rows as [Row];
  if (first.retention_seconds === 0) throw new Disabled();
  for (const floor of [first.floor, first.tenant_floor])
    if (floor !== null && !includes(from, parseSnapshot(floor))) throw new Dropped();
  if (!includes(parseSnapshot(first.now), from)) throw new Dropped(); // a snapshot that is still to come
  const upto = parseSnapshot(first.upto);
  const changes = rows.filter(({ id }) => id !== null);
  const last = changes.at(-1);
  const isAll = changes.length === Number(first.found);
  const eventsUpto = parseSnapshot(first.events_upto);
  const next: Position =
    isAll || !last
      ? { from: upto, ...(events && { events: { from: eventsUpto } }) }
      : {
          ...{ from, to: upto, after: [last.rank, last.id] },
          ...(events && { events: { from: events.from, to: eventsUpto } }),
        };
  return {
    epoch: first.epoch,
    secret: first.secret,
    life: first.life,
    readAt: first.read_at,
    changes,
    batch: { from, to: upto },
    next,
  };
}

/** The position of now, for a reader of changes and events, and the time by the database's clock. */
export async function positionOfNow(run: Run): Promise<{ position: Position; readAt: number }> {
  const [row] = await run<{ durable: string; now: string; read_at: number }>(
    (sql) => sql`
      select durable_snapshot() as durable, pg_current_snapshot()::text as now,
        (extract(epoch from clock_timestamp()) * 1000)::float8 as read_at`,
  );
  const { durable = "", now = "", read_at = 0 } = row ?? {};
  const events = { from: parseSnapshot(now) };
  return { position: { from: parseSnapshot(durable), events }, readAt: read_at };
}

/** True for a row `c` that is not visible in the snapshot. */
const isNew = (sql: Sql, { xmax, xip }: Snapshot): Fragment => sql`
  (c.xid >= ${`${xmax}`}::xid8 ${
    // An empty list would lead the planner to an index that has nothing to do with it.
    xip.length > 0 ? sql`or c.xid = any(${xip.map(String)}::xid8[])` : sql``
  })`;

/** A snapshot on the way from `from` to `last`, if they are far apart. */
const step = (sql: Sql, from: Snapshot, last: Fragment): Fragment => sql`(
  select s.snapshot::text from feed_snapshot s
  where pg_snapshot_xmax(s.snapshot) > ${`${from.xmax + BigInt(stepTransactions)}`}::xid8
    and pg_snapshot_xmax(s.snapshot) < pg_snapshot_xmax(${last}::pg_snapshot)
  order by s.taken_at limit 1)`;
