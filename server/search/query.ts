// A search query: its terms, and the SQL conditions that find them. Terms and language are constants, so
// Postgres turns a term into words while it plans the statement. So it knows then which terms are only stop
// words, and which index finds the other terms.
import { CortexError } from "../errors/reasons.js";
import { type Fragment, joinFragments, type Sql } from "../postgres/connection.js";
import { control } from "../validation/fields.js";
import type { Language } from "./language.js";
import { fold, isUnspaced, letterLexeme, lettersOf, unindexed } from "./text.js";

const queryBytesMax = 1024;
const termsMax = 32;

export interface Term {
  /** The text of the term, folded. */
  text: string;
  quoted: boolean;
  /**
   * True for letters, digits, spaces, apostrophes and hyphens, in a script that has spaces between words.
   * Such a term is found as words, in all their forms. Any other term is found only as it is written.
   */
  plain: boolean;
  /** One or two letters: found where words begin with them. */
  short: boolean;
  /**
   * A tsquery of the letters of a term that the trigram index cannot find: it has no three letters in a row,
   * or its script has no spaces. undefined for other terms.
   */
  letters: string | undefined;
}

export function parseQuery(query: string): Term[] {
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
  if (control.test(query.replace(/\s/g, " "))) throw refuse("holds a control character");
  const written = [...query.matchAll(/"([^"]*)"?|[^\s"]+/gu)].map(([word, phrase]) => ({
    text: fold(phrase ?? word).trim(),
    quoted: phrase !== undefined,
  }));
  const bared = written.map((piece) =>
    piece.quoted ? piece : { ...piece, text: bare(piece.text) },
  );
  const hasText = ({ text }: { text: string }) => text !== "";
  // A query of punctuation alone looks for the punctuation.
  const pieces = (bared.some(hasText) ? bared : written).filter(hasText);
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

/** A word without the punctuation around it. */
const bare = (word: string): string =>
  word.replace(/^[([{'«“‘]+/u, "").replace(/[\])}'»”’.,;:!?…]+$/u, "");

const quote = (text: string) => `'${text.replace(/['\\]/g, "$&$&")}'`;
const lexeme = (letters: string) => quote(letterLexeme(letters));

/** The tsquery of a term's letters; undefined where the trigram index finds the term. */
function lettersQuery(text: string): string | undefined {
  if (!isUnspaced(text) && /[\p{L}\p{N}]{3}/u.test(text)) return undefined;
  const { pairs, last, later } = lettersOf(text);
  const all = [...pairs, ...later];
  if (all.length > 0) return all.map(lexeme).join(" & ");
  const [one] = last;
  return one === undefined ? undefined : `${lexeme(one)}:*`;
}

/** The columns that are searched. */
export interface SearchColumns {
  words: Fragment;
  text: Fragment;
}

/** The terms of one query as fragments of its statement. */
export class TermConditions {
  constructor(
    readonly sql: Sql,
    readonly terms: Term[],
    readonly language: Language,
  ) {}

  /** True if the columns together hold every term. */
  allFound(columns: SearchColumns[]): Fragment {
    const { sql } = this;
    return joinFragments(
      sql,
      this.terms.map((term) => {
        const anywhere = columns.map((one) => this.#isFound(one, term));
        const ignored = term.plain && !term.quoted ? [this.isIgnored(term)] : [];
        return sql`(${joinFragments(sql, [...anywhere, ...ignored], sql`or`)})`;
      }),
      sql`and`,
    );
  }

  /** How well the columns match: words count more than fragments, more matches more than fewer. */
  weight(columns: SearchColumns[]): Fragment {
    const { sql } = this;
    const parts = this.terms.flatMap((term) =>
      columns.map(({ words, text }) => {
        const count = sql`(length(${text}) - length(replace(${text}, ${term.text}, ''))) / ${[...term.text].length}::float8`;
        const fragments = sql`0.3 * ln(1 + ${count})`;
        const rank =
          term.plain && !term.short ? sql`10 * ts_rank(${words}, ${this.#parsed(term)})` : sql`0`;
        return sql`coalesce(case when ${this.isIgnored(term)} then 0 else ${rank} + ${fragments} end, 0)`;
      }),
    );
    return joinFragments(sql, parts, sql`+`);
  }

  /** A tsquery of the words of any term. */
  anyWord(): Fragment {
    const { sql } = this;
    const words = this.terms
      .filter(({ plain, short }) => plain && !short)
      .map((term) => this.#parsed(term));
    return words.length === 0 ? sql`''::tsquery` : sql`(${joinFragments(sql, words, sql`||`)})`;
  }

  /** True if the term is ignored: it has only stop words (`the`), and some other term has more than that. */
  isIgnored(term: Term): Fragment {
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

  /**
   * True if the columns hold the term. A term that the trigram index cannot find must not use `like`: that
   * would read the whole index.
   */
  #isFound({ words, text }: SearchColumns, term: Term): Fragment {
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
