// A search query: its terms, and the SQL conditions that find them. The forms of the words are looked up
// before, so that they are constants of the statement: Postgres then knows how rare they are while it plans.
import { CortexError } from "../errors/reasons.js";
import { type Fragment, joinFragments, type Run, type Sql } from "../postgres/connection.js";
import { control } from "../validation/control.js";
import { fold } from "./fold.js";
import { formerTerm } from "./former.js";
import { kinds } from "./kinds.js";
import type { Language } from "./language.js";
import { lettersOf } from "./letters.js";
import { letterLexeme, unindexed } from "./searchable.js";
import { kindOf } from "./unicode.js";
import type { Forms, WordForms } from "./word-forms.js";
import { eachWord } from "./words.js";

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
  /** The forms of each word. */
  forms: Forms[];
  /** True if it is left out: it has only stop words (`the`), and some other term has more than that. */
  ignored: boolean;
  /** One or two letters: found where words begin with them. */
  short: boolean;
  /**
   * A tsquery of the letters of a term that the trigram index cannot find: it has no three letters in a row,
   * or its script has no spaces. undefined for other terms.
   */
  letters: string | undefined;
}

/** Parses a query, and looks up the forms of its words. */
export async function parseQuery(query: string, wordForms: WordForms, run: Run): Promise<Term[]> {
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
  const terms = pieces.map(({ written, quoted }) => {
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
  const forms = await wordForms.of(
    run,
    terms.flatMap(({ words }) => words),
  );
  const looked = terms.map((term) => ({
    ...term,
    forms: term.words.map((word) => forms.get(word) ?? null),
  }));
  const tells = looked.map(
    ({ quoted, forms }) => quoted || forms.length === 0 || forms.some((some) => some?.length !== 0),
  );
  const someTells = tells.includes(true);
  return looked.map((term, i) => ({ ...term, ignored: someTells && !tells[i] }));
}

interface Piece {
  written: string;
  quoted: boolean;
}

/** The words and phrases of a query. */
function piecesOf(query: string): Piece[] {
  const hasText = ({ written }: Piece) => fold(written).trim() !== "";
  const all = [...query.matchAll(phraseOrWord)].map(([word, ...phrases]): Piece => {
    const [exact, ...prose] = phrases;
    const phrase = exact ?? prose.find((one) => one !== undefined)?.replace(endOfSentence, "");
    return { written: phrase ?? word, quoted: phrase !== undefined };
  });
  const bare = all.flatMap((piece) =>
    piece.quoted
      ? [piece]
      : bareWords(piece.written).map((written) => ({ written, quoted: false })),
  );
  // A query of punctuation alone looks for the punctuation.
  return (bare.some(hasText) ? bare : all).filter(hasText);
}

/** Curly quotes are those of prose, in which a comma may stand “like this,” before the end. */
const endOfSentence = /(?<=[^\s.,;:!?…])[.,;:!?…]+$/u;

/** A phrase in one of several kinds of quotes, or a word. A straight quote may be left open. */
const phraseOrWord = /"([^"]*)"?|“([^“”]*)”|„([^„“”]*)[“”]|«([^«»]*)»|[^\s"]+/gu;

/** The words between the punctuation that only prose has. Each is without punctuation around it. */
const bareWords = (text: string): string[] =>
  text
    .split(/[“”„‟«»‹›–—―…•·、。，；「」『』【】《》〈〉]+|(?<=[^\d\s])[,;|]+(?=[^\d\s])/u)
    .map((word) =>
      word.replace(/^[([{（'‘’‚¿¡*_`~|]+/u, "").replace(/[\])}）'‘’.,:;!?：！？؟،؛।॥*_`~|]+$/u, ""),
    )
    .filter((word) => !/^[-&+=|*/\\<>~_#]*$/.test(word)); // signs between words;!?：！？]+$/u, ""));

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
  readonly terms: Term[];

  constructor(
    readonly sql: Sql,
    terms: Term[],
    readonly language: Language,
    /** True if some records may still be stored under the words of the release before. */
    readonly hasFormerRecords: boolean,
  ) {
    this.terms = terms.filter(({ ignored }) => !ignored);
  }

  /** True if the columns together hold every term. */
  allFound(columns: SearchColumns[]): Fragment {
    const { sql } = this;
    return joinFragments(
      sql,
      this.terms.map((term) => {
        const anywhere = columns.map((one) => this.#isFound(one, term));
        return sql`(${joinFragments(sql, anywhere, sql`or`)})`;
      }),
      sql`and`,
    );
  }

  /** How well the columns match: words count more than fragments, more matches more than fewer. */
  weight(columns: SearchColumns[]): Fragment {
    const { sql } = this;
    const parts = this.terms.flatMap((term) =>
      columns.map(({ words, text }) => {
        const bytes = sql`octet_length(${text}) - octet_length(replace(${text}, ${term.text}, ''))`;
        const count = sql`(${bytes}) / ${Buffer.byteLength(term.text)}::float8`;
        const query = wordsQuery(term);
        const rank = query ? sql`10 * ts_rank(${words}, ${query}::tsquery) +` : sql``;
        return sql`coalesce(${rank} 0.3 * ln(1 + ${count}), 0)`;
      }),
    );
    return sql`greatest(${joinFragments(sql, parts, sql`+`)}, 0.001)`;
  }

  #isFound(columns: SearchColumns, term: Term): Fragment {
    const { sql } = this;
    const query = wordsQuery(term);
    const found = [this.#isWritten(columns, term.text, term.letters)];
    if (query) found.push(sql`${columns.words} @@ ${query}::tsquery`);
    if (this.hasFormerRecords) found.push(this.#isFoundFormerly(columns, term));
    return sql`(${joinFragments(sql, found, sql`or`)})`;
  }

  #isFoundFormerly({ words, text }: SearchColumns, term: Term): Fragment {
    const { sql } = this;
    const { formerText, quoted } = term;
    const language = sql`${this.language.oid}::int::oid::regconfig`;
    const found = [sql`false`];
    if (isFoundAsWords(term))
      found.push(
        quoted
          ? sql`${words} @@ phraseto_tsquery(${language}, ${formerText})`
          : sql`${words} @@ plainto_tsquery(${language}, ${formerText})`,
      );
    if (formerText !== term.text)
      found.push(this.#isWritten({ words, text }, formerText, lettersQuery(formerText)));
    return sql`h.unicode is null and (${joinFragments(sql, found, sql`or`)})`;
  }

  /**
   * True if the columns hold the text as it is written. A text that the trigram index cannot find must not use
   * `like`: that would read the whole index.
   */
  #isWritten({ words, text }: SearchColumns, written: string, letters?: string): Fragment {
    const { sql } = this;
    if (!letters) return sql`${text} like ${`%${written.replace(/[\\%_]/g, "\\$&")}%`}`;
    const query = `(${letters}) | ${quote(unindexed)}`;
    return sql`${words} @@ ${query}::tsquery and strpos(${text}, ${written}) > 0`;
  }
}

/** True if the term is found as words, in all their forms. */
export const isFoundAsWords = (term: Term): term is Term & { forms: string[][] } =>
  term.words.length > 0 && !term.short && !term.forms.includes(null);

/**
 * The tsquery of a term's words in all their forms, one after the other, where a stop word stands for any
 * word. undefined if it is not found so.
 */
function wordsQuery(term: Term): string | undefined {
  if (!isFoundAsWords(term)) return undefined;
  let query: string | undefined;
  let distance = 1;
  for (const forms of term.forms) {
    if (forms.length === 0) distance++;
    else {
      const word = `(${forms.map(quote).join(" | ")})`;
      query = query === undefined ? word : `${query} <${distance}> ${word}`;
      distance = 1;
    }
  }
  return query;
}
