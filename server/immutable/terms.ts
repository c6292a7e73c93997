// What a query asks for: its terms, and what holds each of them. The words of a term are made by the database, from constants, while
// the statement is planned: then it knows which of them say nothing, and by which index the others are found.
import * as check from "../checks.js";
import { type Fragment, joined, type Sql } from "../connection.js";
import { CortexError } from "../errors.js";
import type { Language } from "../language.js";
import { fold, pairsOf } from "../text.js";

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
  /** Pairs of letters that the index knows, as a tsquery, of a script without spaces. */
  pairs: string | undefined;
  /** Whether the index of fragments knows any three letters of it. */
  fragment: boolean;
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
    const pairs = pairsQuery(text);
    return {
      text,
      quoted,
      plain: !pairs && /^[\p{L}\p{N}\p{M} '’-]+$/u.test(text),
      short: /^[\p{L}\p{N}\p{M}]{1,2}$/u.test(text),
      pairs,
      fragment: /[\p{L}\p{N}]{3}/u.test(text),
    };
  });
}

/** A word without the marks that a sentence puts around it. */
const bare = (word: string): string =>
  word.replace(/^[([{'«“‘]+/u, "").replace(/[\])}'»”’.,;:!?…]+$/u, "");

const quote = (lexeme: string) => `'${lexeme.replace(/['\\]/g, "$&$&")}'`;

/** What the pairs of letters of a term are found by; the exact text is compared besides. */
function pairsQuery(text: string): string | undefined {
  const pairs = pairsOf(text);
  const whole = pairs.filter((pair) => [...pair].length > 1);
  if (whole.length > 0) return whole.map(quote).join(" & ");
  return pairs[0] && `${quote(pairs[0])}:*`;
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
    return joined(
      sql,
      this.terms.map((term) => {
        const anywhere = columns.map((at) => this.#holds(at, term));
        const ignored = term.plain ? [this.ignored(term)] : [];
        return sql`(${joined(sql, [...anywhere, ...ignored], sql`or`)})`;
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
        return term.plain
          ? sql`coalesce(case when ${this.ignored(term)} then 0 else 10 * ts_rank(${words}, ${this.#words(term)}) + ${fragments} end, 0)`
          : sql`coalesce(${fragments}, 0)`;
      }),
    );
    return joined(sql, parts, sql`+`);
  }

  /** The words of any of the terms. */
  any(): Fragment {
    const { sql } = this;
    const words = this.terms.filter(({ plain }) => plain).map((term) => this.#words(term));
    return words.length === 0 ? sql`''::tsquery` : sql`(${joined(sql, words, sql`||`)})`;
  }

  /** Whether the term says nothing, and another does. */
  ignored(term: Term): Fragment {
    const { sql } = this;
    if (!term.plain) return sql`false`;
    const others = this.terms.filter((other) => other !== term);
    const telling = others.some(({ plain }) => !plain)
      ? sql`true`
      : joined(
          sql,
          [sql`false`, ...others.map((other) => sql`numnode(${this.#parsed(other)}) > 0`)],
          sql`or`,
        );
    return sql`(numnode(${this.#parsed(term)}) = 0 and (${telling}))`;
  }

  /** What the index of fragments does not know must not look as if it did: that would read all of it. */
  #holds({ words, text }: Columns, term: Term): Fragment {
    const { sql } = this;
    const written = sql`strpos(${text}, ${term.text}) > 0`;
    if (term.pairs) return sql`(${words} @@ ${term.pairs}::tsquery and ${written})`;
    const asWords = sql`${words} @@ ${this.#words(term)}`;
    if (!term.fragment)
      return term.plain
        ? sql`case when numnode(${this.#parsed(term)}) = 0 then ${written} else ${asWords} end`
        : written;
    const like = sql`${text} like ${`%${term.text.replace(/[\\%_]/g, "\\$&")}%`}`;
    return term.plain ? sql`(${asWords} or ${like})` : like;
  }

  #words(term: Term): Fragment {
    return term.short ? this.sql`${`${quote(term.text)}:*`}::text::tsquery` : this.#parsed(term);
  }

  #parsed({ text, quoted }: Term): Fragment {
    const language = this.sql`${this.language.oid}::int::oid::regconfig`;
    return quoted
      ? this.sql`phraseto_tsquery(${language}, ${text})`
      : this.sql`plainto_tsquery(${language}, ${text})`;
  }
}
