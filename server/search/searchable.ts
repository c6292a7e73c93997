// What a record is found by.
import { fold } from "./fold.js";
import { kinds } from "./kinds.js";
import { lettersOf } from "./letters.js";
import { kindOf } from "./unicode.js";
import { unicodeVersion } from "./unicode-data.js";
import { eachWord, lineOf, WordPositions } from "./words.js";

export { unicodeVersion };

const wordsCharsMax = 128 * 1024; // text beyond is found as it is written, not in other forms of its words
const lettersMax = 50_000;
/** Marks letters among the words of a record. No word begins with it, since no folded text holds it. */
const lettersMark = "\u0001";
export const letterLexeme = (letters: string): string => lettersMark + letters;
/** Marks a record with more letters than are stored: its text is read instead. */
export const unindexed = lettersMark + lettersMark;

/** What a record is found by, as the statement takes it. */
export interface Searchable {
  /** All fields, folded, one line each. */
  text: string;
  /** The words, each once, with the lines of their dictionaries and their positions. */
  words: string[];
  lines: number[];
  positions: string[];
  letters: string[];
}

/** Makes the fields of a value searchable, which `fieldsOf` gives. */
export function searchable(fields: { text: string }[]): Searchable {
  const folded = fields.map(({ text }) => fold(text));
  const { words, texts: positions } = eachIndexedWord(fields, folded, () => {});
  const text = folded.join("\n");
  const { pairs, last, begins } = lettersOf(text);
  const letters = [...new Set([...begins, ...last, ...pairs])].map(letterLexeme);
  return {
    text,
    words,
    lines: words.map(lineOf),
    positions,
    letters: letters.length > lettersMax ? [...letters.slice(0, lettersMax), unindexed] : letters,
  };
}

/** A word that is indexed. */
interface IndexedWord {
  word: string;
  /** undefined: it is found, but not where it stands. */
  position: number | undefined;
  /** The number of its field, from 0. */
  field: number;
  /** Where it begins and ends in the folded text; undefined for words that are found without a divider. */
  span: [from: number, to: number] | undefined;
}

/** Calls `found` for each indexed word of the fields, whose folded texts are `folded`. */
export function eachIndexedWord(
  fields: { text: string }[],
  folded: string[],
  found: (word: IndexedWord) => void,
): WordPositions {
  const positions = new WordPositions();
  let room = wordsCharsMax;
  const index = (text: string, field: number, isFolded: boolean) => {
    if (room <= 0) return;
    eachWord(text.slice(0, room), (word, from, to) => {
      const position = positions.add(word);
      found({ word, position, field, span: isFolded ? [from, to] : undefined });
    });
    positions.endField();
    room -= text.length;
  };
  for (const [i, text] of folded.entries()) index(text, i, true);
  // Some characters stand within a word or between two; or fold to letters, but belong to no word, as in
  // `policies¹` and `Company™`. The words are found with them and without.
  for (const [i, { text }] of fields.entries()) {
    const divided = text.replace(dividers, (char) =>
      kindOf(char.codePointAt(0)) === kinds.letter ? char : " ",
    );
    if (divided !== text) index(fold(divided), i, false);
  }
  return positions;
}

// A zero-width space, superscripts and subscripts, fractions, letterlike signs, numbers in circles.
const dividers =
  /[\u200b\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2100-\u218b\u2460-\u24ff\u2776-\u2793\u3200-\u33ff]/g;
