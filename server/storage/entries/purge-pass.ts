// The statement of a purge: deletes the entries that match, or counts them: all of them, or those of one step.
import type { Fragment, Run, Sql } from "../../postgres/connection.js";

type Condition = (sql: Sql) => Fragment;

/** The entries to purge. */
export interface Selection {
  /** The condition on `m` of the entries. */
  matches: Condition;
  /** The part of it that an index answers, in the order of names. A step looks at nothing else. */
  within: Condition;
  /** True if the entries are of all namespaces, false if of one. */
  allNamespaces: boolean;
}

type Name = readonly [namespace: string, key: string];

/** A step of a purge: the next entries, in the order of their names. */
export interface Step {
  entriesMax: number;
  /** The name after which the step begins; undefined: at the first entry. */
  after: Name | undefined;
  /** Entries that a later revision created stay. */
  revisionMax: string;
}

export interface Pass {
  deleted: number;
  /** The first keys, with their users. */
  shown: [key: string, user: string | null][];
  first_user: string | null;
  last_user: string | null;
  /** How many entries a step has found. It has deleted fewer if another write was faster. */
  found: number;
  /** The entry after which the next step begins; null if no entries follow. */
  next: [...Name, user: string | null] | null;
}

interface PassOptions {
  dryRun: boolean;
  step: Step | undefined;
  keysShownMax: number;
}

/** Deletes what matches, or counts it. */
export async function pass(
  run: Run,
  selection: Selection,
  { dryRun, step, keysShownMax }: PassOptions,
): Promise<Pass> {
  const [row] = await run<Pass>((sql) => {
    const entries = step ? untilLast(sql, selection, step) : selection.matches(sql);
    return sql`
      with ${step ? stepEnd(sql, selection, step) : sql``} deleted as materialized (
        ${dryRun ? sql`select m.key, m.user_id` : sql`delete`} from mutable m where ${entries}
        ${dryRun ? sql`` : sql`returning m.key, m.user_id`}
      ), shown as (
        select key, user_id from deleted order by key limit ${keysShownMax}
      )
      select (select count(*)::int from deleted) as deleted, (select min(user_id) from deleted) as first_user,
        (select max(user_id) from deleted) as last_user,
        (select coalesce(json_agg(json_build_array(key, user_id)), '[]') from shown) as shown,
        ${step ? sql`(select count(*)::int from found)` : sql`0`} as found,
        ${step ? sql`(select json_build_array(namespace, key, user_id) from next)` : sql`null::json`} as next`;
  });
  return row as Pass;
}

// A step looks at so many entries for each that it may delete. So it is short, even if few of them match.
const looksPerEntry = 10;

/**
 * The steps of the statement that find where a step ends. `found`: the entries to delete; `last`: the last of
 * them; `next`: the entry after which the next step begins.
 */
function stepEnd(sql: Sql, selection: Selection, { entriesMax, after, revisionMax }: Step) {
  const looksMax = entriesMax * looksPerEntry;
  // In one namespace by the key alone. By both, Postgres would sort, and so look at all that it may look at.
  const inOrder = () =>
    selection.allNamespaces ? sql`order by namespace, key` : sql`order by key`;
  const ahead = () => sql`
    from mutable m where ${selection.within(sql)} ${after ? sql`and ${beyond(sql, selection, after)}` : sql``}`;
  return sql`
    matching as materialized ( -- one more than the step deletes tells whether more follow
      select namespace, key, user_id from (
        select m.namespace, m.key, m.user_id, (${selection.matches(sql)} and m.created_revision <= ${revisionMax}) as is_match
        ${ahead()} ${inOrder()} limit ${looksMax}
      ) as looked where is_match ${inOrder()} limit ${entriesMax + 1}
    ), found as materialized (
      select * from matching ${inOrder()} limit ${entriesMax}
    ), last as materialized (
      select * from found ${inOrder()} offset greatest((select count(*) from found) - 1, 0) limit 1
    ), next as (
      select * from last where (select count(*) from matching) > ${entriesMax}
      union all (
        select m.namespace, m.key, m.user_id ${ahead()} and (select count(*) from matching) <= ${entriesMax}
        ${inOrder()} offset ${looksMax - 1} limit 1)
    ),`;
}

/** The condition on `m` of the entries of a step: those that `found` has. */
const untilLast = (sql: Sql, selection: Selection, { after, revisionMax }: Step): Fragment => sql`
  ${selection.matches(sql)} and m.created_revision <= ${revisionMax}
  ${after ? sql`and ${beyond(sql, selection, after)}` : sql``}
  and ${
    selection.allNamespaces
      ? sql`(m.namespace, m.key) <= ((select namespace from last), (select key from last))`
      : sql`m.key <= (select key from last)`
  }`;

// In one namespace by the key alone. By both, Postgres would enter the index at the first key of the namespace
// and pass all entries that earlier steps have deleted.
const beyond = (sql: Sql, { allNamespaces }: Selection, [namespace, key]: Name): Fragment =>
  allNamespaces ? sql`(m.namespace, m.key) > (${namespace}, ${key})` : sql`m.key > ${key}`;
