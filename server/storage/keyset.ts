// The one paging loop, for all lists, histories and exports. Each page is a statement that goes on after the
// last row of the page before (keyset pagination), so a reader that stalls holds no connection.
import { CortexError } from "../errors/reasons.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import { invalidToken } from "./page-token.js";

/** Which rows a statement is to give. */
export interface Window {
  /** The position of the last row of the page before; undefined starts at the first row. */
  after: readonly string[] | undefined;
  skip: number;
  /** One more than the page needs, so that the page knows whether more follow. */
  limit: number;
  /** True to count all rows that match. */
  counting: boolean;
}

/** A row of a page: `byteWindow` gives `found`, a statement that counts gives `total`. */
export interface PageRow {
  found: string | null;
  total?: string | null;
}

interface Paging<Row> {
  /** How many rows to give in all; undefined: all there are. */
  limit?: number;
  /** How many rows one statement gives at most. */
  statementRowsMax?: number;
  /** How many rows go into one message. */
  messageRowsMax?: number;
  after?: readonly string[] | undefined;
  skip?: number;
  counting?: boolean;
  fetch(window: Window): Promise<Row[]>;
  positionOf(row: Row): readonly string[];
}

/** The rows of one message. */
interface Message<Row> {
  rows: Row[];
  /** True if rows follow, beyond the limit too. */
  hasMore: boolean;
  /** The position after which the next message goes on. */
  after: readonly string[] | undefined;
  total: bigint | undefined;
}

export const messageRowsMax = 100;

/** Gives at least one message, also where there are no rows. */
export async function* pages<Row extends PageRow>(
  paging: Paging<Row>,
): AsyncGenerator<Message<Row>> {
  const { limit = Number.POSITIVE_INFINITY, fetch, positionOf } = paging;
  const { statementRowsMax = limit, messageRowsMax: size = messageRowsMax } = paging;
  let { after, skip = 0, counting = false } = paging;
  let total: bigint | undefined;
  let remaining = limit;
  for (let more = true; more && remaining > 0; skip = 0) {
    const wanted = Math.min(remaining, statementRowsMax);
    const fetched = await fetch({ after, skip, limit: wanted + 1, counting });
    const found = Number(fetched[0]?.found ?? 0); // null if nothing matches: the only row has just the total
    if (counting) total = BigInt(fetched[0]?.total ?? 0);
    counting = false;
    const rows = fetched.slice(0, Math.min(found, wanted));
    more = found > rows.length;
    remaining -= rows.length;
    for (let i = 0; i === 0 || i < rows.length; i += size) {
      const message = rows.slice(i, i + size);
      const last = message.at(-1);
      after = last ? positionOf(last) : after;
      yield { rows: message, hasMore: more || i + size < rows.length, after, total };
    }
  }
}

/** The one message of a list that is no stream. */
export async function onePage<Row extends PageRow>(paging: Paging<Row>): Promise<Message<Row>> {
  for await (const message of pages({ ...paging, messageRowsMax: Number.POSITIVE_INFINITY }))
    return message;
  throw new Error("a list gave no message");
}

/**
 * Two columns for the rows of `page`: `place`, the number of the row, and `bytes_before`, the size of the
 * rows before it.
 */
export const sizedRow = (sql: Sql, size: Fragment): Fragment =>
  sql`row_number() over in_order as place, sum(${size}) over in_order - ${size} as bytes_before`;

/**
 * The window of `sizedRow`. Where an index gives the order, the statement does not sort, and stops at its
 * limit.
 */
export const inOrder = (sql: Sql, order: Fragment): Fragment =>
  sql`window in_order as (order by ${order} rows unbounded preceding)`;

/**
 * Selects rows of the common table expression `page`, as many as begin within `bytesMax` bytes: so the first
 * row always fits. Adds `found`, how many rows `page` has. Window functions count: with an aggregate joined
 * to the page, Postgres planned the statement anew for every call (0.84 ms instead of 0.40).
 */
export const byteWindow = (sql: Sql, bytesMax: number): Fragment => sql`
  select * from (
    select page.*, count(*) over () as found, bytes_before - min(bytes_before) over () as bytes_shown_before from page
  ) as page
  where bytes_shown_before < ${bytesMax}`;

export interface Sort {
  name: string;
  descending: boolean;
  /** The first column to sort by, before the names of the rows; undefined sorts by the names alone. */
  by: SortColumn | undefined;
}

export interface SortColumn {
  column: (sql: Sql) => Fragment;
  /** The column as a whole number, for the page token. */
  position: (sql: Sql) => Fragment;
  /** The number of a page token as a value of the column. */
  bound: (sql: Sql, position: number) => Fragment;
  positionMax: number;
}

/** Sorts by a time, which is a column of the table. */
export const byTime = (column: (sql: Sql) => Fragment): SortColumn => ({
  column,
  position: (sql) => sql`(extract(epoch from ${column(sql)}) * 1000)::bigint`,
  bound: (sql, ms) => sql`${new Date(ms)}::timestamptz`,
  positionMax: Date.parse("9999-12-31T23:59:59.999Z"),
});

export const unknownSort = (field: string, got: number) =>
  new CortexError("INVALID_SORT", { field, problem: "is not one that is known", got: `${got}` });

/** Refuses the position of a forged token before it reaches the database. */
export function checkPosition({ by }: Sort, position: readonly string[] | undefined): void {
  const [number = ""] = position ?? [];
  if (position && by && !(/^\d{1,16}$/.test(number) && Number(number) <= by.positionMax))
    throw invalidToken();
}
