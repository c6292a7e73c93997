// What lists go by besides the names of what they list, and how their pages are cut into messages.

import { CortexError } from "../errors/reasons.js";
import type { Fragment, Sql } from "../postgres/connection.js";

export interface Sort {
  name: string;
  descending: boolean;
  /** What goes before the name; undefined sorts by the name alone. */
  by: By | undefined;
}

export interface By {
  column: (sql: Sql) => Fragment;
  /** The column as a whole number, for the page token; and back. */
  position: (sql: Sql) => Fragment;
  bound: (sql: Sql, position: number) => Fragment;
  positionMax: number;
}

/** By a time, which is a column of the table. */
export const byTime = (column: (sql: Sql) => Fragment): By => ({
  column,
  position: (sql) => sql`(extract(epoch from ${column(sql)}) * 1000)::bigint`,
  bound: (sql, ms) => sql`${new Date(ms)}::timestamptz`,
  positionMax: Date.parse("9999-12-31T23:59:59.999Z"),
});

export const unknownSort = (field: string, got: number) =>
  new CortexError("INVALID_SORT", { field, problem: "is not one that is known", got: `${got}` });

/** A token can be forged by its holder: what does not read as a position is refused, not sent to the database. */
export function checkPosition({ by }: Sort, position: string[] | undefined): void {
  const [after = ""] = position ?? [];
  if (!position || !by || (/^\d{1,16}$/.test(after) && Number(after) <= by.positionMax)) return;
  const problem = "is not a token this server gave";
  throw new CortexError("INVALID_PAGE_TOKEN", { field: "page_token", problem });
}

const messageRecordsMax = 100;

/** At most 100 records each; one message where there are none. */
export function* messages<Row>(records: Row[]): Generator<Row[]> {
  for (let i = 0; i === 0 || i < records.length; i += messageRecordsMax)
    yield records.slice(i, i + messageRecordsMax);
}
