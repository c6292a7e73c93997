// A search query: its terms, and the SQL conditions that find them. Terms and language are constants, so
// Postgres turns a term into words while it plans the statement. So it knows then which terms are only stop
// words, and which index finds the other terms.
import { CortexError } from "../errors/reasons.js";
import { type Fragment, joinFragments, type Sql } from "../postgres/connection.js";
import { control } from "../validation/fields.js";
import { fold } from "./fold.js";
import { formerTerm } from "./former.js";
import { kinds } from "./kinds.js";
import type { Language } from "./language.js";
import { lettersOf } from "./letters.js";
import { letterLexeme, unindexed } from "./searchable.js";
import { kindOf } from "./unicode.js";
import { eachWord, lineOf } from "./words.js";

const queryBytesMax = 1024;
const termsMax = 32;

export interface Term {
  /** The text of the term, folded. */
  text: string;
  /** The text as the release before looked for it. */
  formerText: string;
  quoted: boolean;
  /**
   * The words of the term, which are found in all their forms. None if the term is found only as it is
   * written: it has a sign that is no apostrophe or hyphen, or a letter of a script without spaces.
   */
  words: string[];
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
  const pieces = piecesOf(query);
  if (pieces.length === 0) throw refuse("has no terms");
  if (pieces.length > termsMax)
    throw refuse("has too many terms", `${termsMax}`, `${pieces.length}`);
  return pieces.map(({ written, quoted }) => {
    const text = fold(written).trim();
    const has = kindsIn(text);
    const short = [...text].length <= 2 && has.size === 1 && has.has(kinds.letter);
    const signs = kindsIn(text.replace(/['-]/g, ""));
    const words: string[] = [];
    if (![kinds.unspaced, kinds.sign, kinds.unassigned].some((kind) => signs.has(kind)))
      eachWord(text, (word) => words.push(word));
    const letters = short ? lexeme(text) : lettersQuery(text);
    return { text, formerText: formerTerm(written), quoted, words, short, letters };
  });
}

interface Piece {
  written: string;
  quoted: boolean;
}

/** The words and phrases of a query. */
function piecesOf(query: string): Piece[] {
  const hasText = ({ written }: Piece) => fold(written).trim() !== "";
  const all = [...query.replace(/[“”„‟«»]/gu, '"').matchAll(/"([^"]*)"?|[^\s"]+/gu)].map(
    ([word, phrase]): Piece => ({ written: phrase ?? word, quoted: phrase !== undefined }),
  );
  const bare = all.flatMap((piece) =>
    piece.quoted
      ? [piece]
      : bareWords(piece.written).map((written) => ({ written, quoted: false })),
  );
  // A query of punctuation alone looks for the punctuation.
  return (bare.some(hasText) ? bare : all).filter(hasText);
}

/** The words between the punctuation that only prose has. Each is without punctuation around it. */
const bareWords = (text: string): string[] =>
  text
    .split(/[–—―…、。，；「」『』【】《》〈〉]+/u)
    .map((word) => word.replace(/^[([{（'‘’]+/u, "").replace(/[\])}）'‘’.,:;!?：！？]+$/u, ""));

const kindsIn = (text: string): Set<number> =>
  new Set(Array.from(text, (char) => kindOf(char.codePointAt(0))));

const quote = (text: string) => `'${text.replace(/['\\]/g, "$&$&")}'`;
const lexeme = (letters: string) => quote(letterLexeme(letters));

/** The tsquery of a term's letters; undefined where the trigram index finds the term. */
function lettersQuery(text: string): string | undefined {
  const letters = Array.from(text, (char) => kindOf(char.codePointAt(0)));
  const hasThree = letters.some(
    (_, i) => i >= 2 && [i, i - 1, i - 2].every((at) => letters[at] === kinds.letter),
  );
  if (hasThree && !letters.includes(kinds.unspaced)) return undefined;
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
    /** True if some records may still be stored under the words of the release before. */
    readonly hasFormerRecords: boolean,
  ) {}

  /** True if the columns together hold every term. */
  allFound(columns: SearchColumns[]): Fragment {
    const { sql } = this;
    return joinFragments(
      sql,
      this.terms.map((term) => {
        const anywhere = columns.map((one) => this.#isFound(one, term));
        const ignored = isPlain(term) && !term.quoted ? [this.isIgnored(term)] : [];
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
        const rank = isFoundAsWords(term)
          ? sql`10 * ts_rank(${words}, ${this.#parsed(term)})`
          : sql`0`;
        return sql`coalesce(case when ${this.isIgnored(term)} then 0 else ${rank} + ${fragments} end, 0)`;
      }),
    );
    return sql`greatest(${joinFragments(sql, parts, sql`+`)}, 0.001)`;
  }

  /** For each term, a JSON array of the forms of each of its words; null if it is not found as words. */
  forms(): Fragment[] {
    const { sql } = this;
    return this.terms.map((term) =>
      isFoundAsWords(term)
        ? sql`(
            select json_agg(coalesce(word_forms(${this.#dictionaries()}, line, word), '{}') order by number)
            from unnest(${term.words}::text[], ${term.words.map(lineOf)}::int[]) with ordinality as w (word, line, number))`
        : sql`null::json`,
    );
  }

  /** True if the term is ignored: it has only stop words (`the`), and some other term has more than that. */
  isIgnored(term: Term): Fragment {
    const { sql } = this;
    if (!isPlain(term) || term.quoted) return sql`false`;
    const others = this.terms.filter((other) => other !== term);
    const telling = others.some((other) => !isPlain(other) || other.quoted)
      ? sql`true`
      : joinFragments(
          sql,
          [sql`false`, ...others.map((other) => sql`numnode(${this.#parsed(other)}) > 0`)],
          sql`or`,
        );
    return sql`(numnode(${this.#parsed(term)}) = 0 and (${telling}))`;
  }

  #isFound(columns: SearchColumns, term: Term): Fragment {
    const { sql } = this;
    const { words } = columns;
    const found = [this.#isWritten(columns, term.text, term.letters)];
    if (isFoundAsWords(term)) found.push(sql`${words} @@ ${this.#parsed(term)}`);
    if (this.hasFormerRecords) found.push(this.#isFoundFormerly(columns, term));
    return sql`(${joinFragments(sql, found, sql`or`)})`;
  }

  #isFoundFormerly(columns: SearchColumns, term: Term): Fragment {
    const { sql } = this;
    const { formerText } = term;
    const found = [sql`false`];
    if (isFoundAsWords(term)) found.push(sql`${columns.words} @@ ${this.#formerlyParsed(term)}`);
    if (formerText !== term.text)
      found.push(this.#isWritten(columns, formerText, lettersQuery(formerText)));
    return sql`h.unicode is null and (${joinFragments(sql, found, sql`or`)})`;
  }

  /**
   * True if the columns hold the text as it is written. A text that the trigram index cannot find must not use
   * `like`: that would read the whole index.
   */
  #isWritten(
    { words, text }: SearchColumns,
    written: string,
    letters: string | undefined,
  ): Fragment {
    const { sql } = this;
    if (!letters) return sql`${text} like ${containing(written)}`;
    const query = `(${letters}) | ${quote(unindexed)}`;
    return sql`${words} @@ ${query}::tsquery and strpos(${text}, ${written}) > 0`;
  }

  #parsed({ words }: Term): Fragment {
    return this
      .sql`search_query(${this.#dictionaries()}, ${words}::text[], ${words.map(lineOf)}::int[])`;
  }

  #formerlyParsed({ formerText, quoted }: Term): Fragment {
    const language = this.sql`${this.language.oid}::int::oid::regconfig`;
    return quoted
      ? this.sql`phraseto_tsquery(${language}, ${formerText})`
      : this.sql`plainto_tsquery(${language}, ${formerText})`;
  }

  #dictionaries(): Fragment {
    return this.sql`${this.language.dictionaries}::int[]`;
  }
}

const isPlain = ({ words }: Term): boolean => words.length > 0;
const isFoundAsWords = (term: Term): boolean => isPlain(term) && !term.short;
const containing = (text: string) => `%${text.replace(/[\\%_]/g, "\\$&")}%`;
