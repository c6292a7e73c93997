// The input rows of a statement: one JSON parameter, and the column definitions that Postgres reads it with.
// Both come from one table of columns, so that they cannot differ.
import type { Fragment, Sql } from "./connection.js";
import { parameter } from "./text.js";

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

/** The rows, or the number of the parameter that will have them as JSON text (text.ts). */
export type Rows<C extends Columns> = InputRow<C>[] | number;

/**
 * Gives a function that writes `json_to_recordset(…) as alias (column type, …)` for rows of these columns.
 */
export function recordset<C extends Columns>(alias: string, columns: C) {
  const definitions = Object.entries(columns).map(([name, type]) => `${name} ${type}`);
  const definition = `${alias} (${definitions.join(", ")})`;
  return (sql: Sql, rows: Rows<C>): Fragment => {
    const json =
      typeof rows === "number" ? parameter(sql, rows, "text") : sql`${JSON.stringify(rows)}::text`;
    return sql`json_to_recordset(${json}::json) as ${sql.unsafe(definition)}`;
  };
}
