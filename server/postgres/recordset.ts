// The input rows of a statement: one JSON parameter, and the column definitions that Postgres reads it with.
// Both come from one table of columns, so that they cannot differ.
import type { Fragment, Sql } from "./connection.js";

interface Types {
  int: number;
  bigint: string;
  float8: number;
  boolean: boolean;
  text: string;
  "int[]": number[];
  "text[]": string[];
}

/** Column names with their Postgres types. */
export type Columns = Record<string, keyof Types>;

/** A row as JavaScript has it. What is undefined or null is null in the statement. */
export type InputRow<C extends Columns> = {
  -readonly [K in keyof C]: Types[C[K]] | null | undefined;
};

/**
 * Gives a function that writes `json_to_recordset(…) as alias (column type, …)` for rows of these columns.
 */
export function recordset<C extends Columns>(alias: string, columns: C) {
  const definitions = Object.entries(columns).map(([name, type]) => `${name} ${type}`);
  const definition = `${alias} (${definitions.join(", ")})`;
  return (sql: Sql, rows: InputRow<C>[]): Fragment =>
    sql`json_to_recordset(${JSON.stringify(rows)}::text::json) as ${sql.unsafe(definition)}`;
}
