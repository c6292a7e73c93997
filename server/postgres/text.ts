// Statements whose text is made once, with places for their parameters: to build the text of a large one from its parts
// costs as much as to run it.
import type { Fragment, Sql } from "./connection.js";

/** A part of a statement, or all of it, as text. */
class Text {
  constructor(readonly text: string) {}
}

const tag = (strings: TemplateStringsArray, ...parts: unknown[]): Text =>
  new Text(strings.reduce((all, next, i) => all + textOf(parts[i - 1]) + next));

function textOf(part: unknown): string {
  if (part instanceof Text) return part.text;
  if (typeof part === "number" && Number.isSafeInteger(part)) return `${part}`;
  throw new TypeError("a part of the text of a statement is neither a fragment nor a whole number");
}

const textSql = Object.assign(tag, { unsafe: (text: string) => new Text(text) }) as unknown as Sql;

/** Gives what `build` builds as text. In place of values it has `parameter`, or whole numbers. */
export const statementText = (build: (sql: Sql) => Fragment): string => textOf(build(textSql));

/** The place of the parameter of this number, counted from 1. */
export const parameter = (sql: Sql, number: number, type: string): Fragment =>
  sql.unsafe(`$${number}::${type}`) as Fragment;

/** The names of columns, as the code has them. */
export const columnNames = (sql: Sql, names: readonly string[]): Fragment =>
  sql.unsafe(names.join(", ")) as Fragment;

/** An array as a parameter. Booleans are sent as text, since the driver takes an array of them for one. */
export type ArrayParameter = readonly (string | number | null)[];

/** The statement of this text. */
export const textStatement = (
  sql: Sql,
  text: string,
  arrays: readonly ArrayParameter[],
): Fragment => sql.unsafe(text, arrays as never, { prepare: true }) as unknown as Fragment;
