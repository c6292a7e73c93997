// What a query asks for: its terms, and what holds each of them.
import * as check from "../checks.js";
import type { Fragment, Run, Sql } from "../connection.js";
import { CortexError } from "../errors.js";
import { fold, pairsOf } from "../text.js";

const queryBytesMax = 1024;
const termsMax = 32;

export interface Term {
  /** Folded. */
  text: string;
  /** Its words as a tsquery; undefined where it is looked for only as it is written. */
  words: string | undefined;
  /** Pairs of letters that the index knows, as a tsquery, of a script without spaces. */
  pairs: string | undefined;
}

interface Piece {
  text: string;
  quoted: boolean;
}

function piecesOf(query: string): Piece[] {
  const refuse = (problem: string, limit?: string, got?: string) =>
    new CortexError("INVALID_QUERY", {
      field: "query",
      problem,
      ...(limit && { limit }),
      ...(got && { got }),
    });
  const bytes = Buffer.byteLength(query);
  if (bytes > queryBytesMax)
    throw refuse("is too long", `${queryBytesMax} bytes of UTF-8`, `${bytes}`);
  if (check.control.test(query.replace(/\s/g, " "))) throw refuse("holds a control character");
  const written = [...query.matchAll(/"([^"]*)"?|[^\s"]+/gu)].map(([word, phrase]) => ({
    text: fold(phrase ?? word).trim(),
    quoted: phrase !== undefined,
  }));
  const bared = written.map((piece) =>
    piece.quoted ? piece : { ...piece, text: bare(piece.text) },
  );
  const full = ({ text }: Piece) => text !== "";
  const pieces = (bared.some(full) ? bared : written).filter(full); // marks alone are looked for as they are
  if (pieces.length === 0) throw refuse("has no terms");
  if (pieces.length > termsMax)
    throw refuse("has too many terms", `${termsMax}`, `${pieces.length}`);
  return pieces;
}

/** A word without the marks that a sentence puts around it. */
const bare = (word: string): string =>
  word.replace(/^[([{'«“‘]+/u, "").replace(/[\])}'»”’.,;:!?…]+$/u, "");

const plain = /^[\p{L}\p{N}\p{M} '’-]+$/u;

/** The terms of a query: words that say nothing in the language are left out, unless there is nothing else. */
export async function termsOf(run: Run, query: string, language: string): Promise<Term[]> {
  const pieces = piecesOf(query);
  const asked = pieces.filter(({ text }) => plain.test(text));
  const rows =
    asked.length === 0
      ? []
      : await run<{ words: string }>(
          (sql) => sql`
            select case when quoted = 1 then phraseto_tsquery(${language}::regconfig, text) else plainto_tsquery(${language}::regconfig, text) end::text as words
            from unnest(${asked.map(({ text }) => text)}::text[], ${asked.map(({ quoted }) => Number(quoted))}::int[])
              with ordinality as asked (text, quoted, number)
            order by number`,
        );
  const words = new Map(asked.map((piece, i) => [piece, rows[i]?.words]));
  const terms = pieces.map((piece) => ({
    text: piece.text,
    words: words.get(piece) || undefined,
    pairs: pairsQuery(piece.text),
    empty: words.get(piece) === "",
  }));
  const telling = terms.filter(({ empty, pairs }) => !empty || pairs);
  return telling.length > 0 ? telling : terms;
}

/** What the pairs of letters of a term are found by; the exact text is compared besides. */
function pairsQuery(text: string): string | undefined {
  const quote = (pair: string) => `'${pair.replace(/['\\]/g, "$&$&")}'`;
  const pairs = pairsOf(text);
  const whole = pairs.filter((pair) => [...pair].length > 1);
  if (whole.length > 0) return whole.map(quote).join(" & ");
  return pairs[0] && `${quote(pairs[0])}:*`;
}

export interface Columns {
  words: Fragment;
  text: Fragment;
}

const like = (sql: Sql, { text }: Columns, term: Term): Fragment =>
  sql`${text} like ${`%${term.text.replace(/[\\%_]/g, "\\$&")}%`}`;

/** Whether the columns hold the term. */
export function holds(sql: Sql, columns: Columns, term: Term): Fragment {
  const { words, pairs } = term;
  const fragment = like(sql, columns, term);
  if (pairs) return sql`(${columns.words} @@ ${pairs}::tsquery and ${fragment})`;
  return words ? sql`(${columns.words} @@ ${words}::tsquery or ${fragment})` : fragment;
}

/** How much the columns say of the term: more for words than for fragments, more for more of them. */
export function weight(sql: Sql, { words, text }: Columns, term: Term): Fragment {
  const count = sql`(length(${text}) - length(replace(${text}, ${term.text}, ''))) / ${[...term.text].length}::float8`;
  const fragments = sql`0.3 * ln(1 + ${count})`;
  return term.words
    ? sql`coalesce(10 * ts_rank(${words}, ${term.words}::tsquery) + ${fragments}, 0)`
    : sql`coalesce(${fragments}, 0)`;
}
