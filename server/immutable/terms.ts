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
  /** Whether it is looked for within words: it has three letters that the index of fragments knows. */
  fragment: boolean;
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
const short = /^[\p{L}\p{N}\p{M}]{1,2}$/u;
const fragment = /[\p{L}\p{N}]{3}/u;

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
    words: wordsQuery(piece, words.get(piece)),
    pairs: pairsQuery(piece.text),
    fragment: fragment.test(piece.text),
    empty: words.get(piece) === "",
  }));
  const telling = terms.filter(({ empty, pairs }) => !empty || pairs);
  return telling.length > 0 ? telling : terms;
}

const quote = (lexeme: string) => `'${lexeme.replace(/['\\]/g, "$&$&")}'`;

/** What words a term is found by: of one or two letters, all that begin with them. */
const wordsQuery = ({ text }: Piece, words: string | undefined): string | undefined =>
  words && short.test(text) ? `${quote(text)}:*` : words || undefined;

/** What the pairs of letters of a term are found by; the exact text is compared besides. */
function pairsQuery(text: string): string | undefined {
  const pairs = pairsOf(text);
  const whole = pairs.filter((pair) => [...pair].length > 1);
  if (whole.length > 0) return whole.map(quote).join(" & ");
  return pairs[0] && `${quote(pairs[0])}:*`;
}

export interface Columns {
  words: Fragment;
  text: Fragment;
}

/** Whether the columns hold the term. What the index of fragments does not know must not look as if it did: it would read all of it. */
export function holds(sql: Sql, { words, text }: Columns, term: Term): Fragment {
  const asWords = term.words === undefined ? undefined : sql`${words} @@ ${term.words}::tsquery`;
  const written = sql`strpos(${text}, ${term.text}) > 0`;
  if (term.pairs) return sql`(${words} @@ ${term.pairs}::tsquery and ${written})`;
  if (!term.fragment) return asWords ?? written;
  const like = sql`${text} like ${`%${term.text.replace(/[\\%_]/g, "\\$&")}%`}`;
  return asWords ? sql`(${asWords} or ${like})` : like;
}

/** How much the columns say of the term: more for words than for fragments, more for more of them. */
export function weight(sql: Sql, { words, text }: Columns, term: Term): Fragment {
  const count = sql`(length(${text}) - length(replace(${text}, ${term.text}, ''))) / ${[...term.text].length}::float8`;
  const fragments = sql`0.3 * ln(1 + ${count})`;
  return term.words
    ? sql`coalesce(10 * ts_rank(${words}, ${term.words}::tsquery) + ${fragments}, 0)`
    : sql`coalesce(${fragments}, 0)`;
}
