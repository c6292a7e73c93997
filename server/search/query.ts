// What a query asks for: its terms, and what holds each of them. The words of a term are made by the database, from constants, while
// the statement is planned: then it knows which of them say nothing, and by which index the others are found.

import { CortexError } from "../errors/reasons.js";
import { type Fragment, joinFragments, type Sql } from "../postgres/connection.js";
import * as check from "../validation/fields.js";
import type { Language } from "./language.js";
import { fold, isUnspaced, letterLexeme, lettersOf, unindexed } from "./text.js";

const queryBytesMax = 1024;
const termsMax = 32;

export interface Term {
  /** Folded. */
  text: string;
  quoted: boolean;
  /** Of letters and digits only: found as words in their forms. Anything else is looked for as it is written. */
  plain: boolean;
  /** Of one or two letters: found where words begin with them. */
  short: boolean;
  /** Letters that the index knows, as a tsquery, of a term that it does not know by three letters together. */
  letters: string | undefined;
}

export function termsOf(query: string): Term[] {
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
  const full = ({ text }: { text: string }) => text !== "";
  const pieces = (bared.some(full) ? bared : written).filter(full); // marks alone are looked for as they are
  if (pieces.length === 0) throw refuse("has no terms");
  if (pieces.length > termsMax)
    throw refuse("has too many terms", `${termsMax}`, `${pieces.length}`);
  return pieces.map(({ text, quoted }) => {
    const short = /^[\p{L}\p{N}]{1,2}$/u.test(text) && !isUnspaced(text);
    return {
      text,
      quoted,
      plain: !isUnspaced(text) && /^[\p{L}\p{N}\p{M} '’-]+$/u.test(text) && letter.test(text),
      short,
      letters: short ? lexeme(text) : lettersQuery(text),
    };
  });
}

const letter = /[\p{L}\p{N}]/u;

/** A word without the marks that a sentence puts around it. */
const bare = (word: string): string =>
  word.replace(/^[([{'«“‘]+/u, "").replace(/[\])}'»”’.,;:!?…]+$/u, "");

const quote = (text: string) => `'${text.replace(/['\\]/g, "$&$&")}'`;
const lexeme = (letters: string) => quote(letterLexeme(letters));

/** By which letters the index finds a term; undefined where it knows three letters together, as fragments. */
function lettersQuery(text: string): string | undefined {
  if (!isUnspaced(text) && /[\p{L}\p{N}]{3}/u.test(text)) return undefined;
  const { pairs, last, later } = lettersOf(text);
  const all = [...pairs, ...later];
  if (all.length > 0) return all.map(lexeme).join(" & ");
  const [one] = last;
  return one === undefined ? undefined : `${lexeme(one)}:*`;
}

/** Where to look. */
export interface Columns {
  words: Fragment;
  text: Fragment;
}

/** The terms of one query, as parts of a statement. */
export class Terms {
  constructor(
    readonly sql: Sql,
    readonly terms: Term[],
    readonly language: Language,
  ) {}

  /** Whether the columns together hold every term. */
  held(columns: Columns[]): Fragment {
    const { sql } = this;
    return joinFragments(
      sql,
      this.terms.map((term) => {
        const anywhere = columns.map((at) => this.#holds(at, term));
        const ignored = term.plain && !term.quoted ? [this.ignored(term)] : [];
        return sql`(${joinFragments(sql, [...anywhere, ...ignored], sql`or`)})`;
      }),
      sql`and`,
    );
  }

  /** How much the columns say of the terms: more for words than for fragments, more for more of them. */
  weight(columns: Columns[]): Fragment {
    const { sql } = this;
    const parts = this.terms.flatMap((term) =>
      columns.map(({ words, text }) => {
        const count = sql`(length(${text}) - length(replace(${text}, ${term.text}, ''))) / ${[...term.text].length}::float8`;
        const fragments = sql`0.3 * ln(1 + ${count})`;
        const rank =
          term.plain && !term.short ? sql`10 * ts_rank(${words}, ${this.#parsed(term)})` : sql`0`;
        return sql`coalesce(case when ${this.ignored(term)} then 0 else ${rank} + ${fragments} end, 0)`;
      }),
    );
    return joinFragments(sql, parts, sql`+`);
  }

  /** The words of any of the terms. */
  any(): Fragment {
    const { sql } = this;
    const words = this.terms
      .filter(({ plain, short }) => plain && !short)
      .map((term) => this.#parsed(term));
    return words.length === 0 ? sql`''::tsquery` : sql`(${joinFragments(sql, words, sql`||`)})`;
  }

  /** Whether the term is a word that says nothing, and another does. */
  ignored(term: Term): Fragment {
    const { sql } = this;
    if (!term.plain || term.quoted) return sql`false`;
    const others = this.terms.filter((other) => other !== term);
    const telling = others.some(({ plain, quoted }) => !plain || quoted)
      ? sql`true`
      : joinFragments(
          sql,
          [sql`false`, ...others.map((other) => sql`numnode(${this.#parsed(other)}) > 0`)],
          sql`or`,
        );
    return sql`(numnode(${this.#parsed(term)}) = 0 and (${telling}))`;
  }

  /** What the index of fragments does not know must not look as if it did: that would read all of it. */
  #holds({ words, text }: Columns, term: Term): Fragment {
    const { sql } = this;
    const asWords = term.plain && !term.short ? [sql`${words} @@ ${this.#parsed(term)}`] : [];
    if (term.letters) {
      const letters = `(${term.letters}) | ${quote(unindexed)}`;
      const written = sql`${words} @@ ${letters}::tsquery and strpos(${text}, ${term.text}) > 0`;
      return sql`(${joinFragments(sql, [...asWords, written], sql`or`)})`;
    }
    const like = sql`${text} like ${`%${term.text.replace(/[\\%_]/g, "\\$&")}%`}`;
    return sql`(${joinFragments(sql, [...asWords, like], sql`or`)})`;
  }

  #parsed({ text, quoted }: Term): Fragment {
    const language = this.sql`${this.language.oid}::int::oid::regconfig`;
    return quoted
      ? this.sql`phraseto_tsquery(${language}, ${text})`
      : this.sql`plainto_tsquery(${language}, ${text})`;
  }
}
