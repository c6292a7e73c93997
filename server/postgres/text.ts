// Statements whose text is made once, with places for their parameters: to put together the text of a large one from its
// parts takes the driver long.
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

/** The place of the parameter of this number, counted from 1. */
export const parameter = (sql: Sql, number: number, type: string): Fragment =>
  sql.unsafe(`$${number}::${type}`) as Fragment;

/** The names of columns, as the code has them. */
export const columnNames = (sql: Sql, names: readonly string[]): Fragment =>
  sql.unsafe(names.join(", ")) as Fragment;

/** A text, or an array. Booleans in it are given as text, since the driver takes an array of them for one. */
export type Parameter = string | readonly (string | number | null | readonly number[])[];

/** Statements of one kind: each has the text of its variant, which is made when it is first needed. */
export class TextStatements {
  readonly #texts = new Map<string, string>();

  /** `build` may use whole numbers as values, which are the same for all statements of the variant. */
  statement(
    sql: Sql,
    variant: string,
    build: (sql: Sql) => Fragment,
    parameters: readonly Parameter[],
  ): Fragment {
    let text = this.#texts.get(variant);
    if (text === undefined) {
      text = textOf(build(textSql));
      this.#texts.set(variant, text);
    }
    return sql.unsafe(text, parameters as never, { prepare: true }) as unknown as Fragment;
  }
}
