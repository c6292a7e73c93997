// The text of a record as it is searched: field by field, folded so that case and composition of letters do
// not matter.
import { canonicalNumber, NumberText } from "../validation/exact-json.js";

export interface Field {
  /** Such as `data.sections[2]`. */
  path: string;
  text: string;
}

/** The texts and numbers in a JSON value, in order, as they were written: see `parseExactly`. */
export function fieldsOf(value: unknown, path: string): Field[] {
  const fields: Field[] = [];
  const walk = (value: unknown, path: string) => {
    if (typeof value === "string") fields.push({ path, text: value });
    else if (typeof value === "number") fields.push({ path, text: `${value}` });
    else if (value instanceof NumberText) fields.push({ path, text: value.text });
    else if (Array.isArray(value))
      value.forEach((element, i) => {
        walk(element, `${path}[${i}]`);
      });
    else if (typeof value === "object" && value !== null)
      for (const [name, member] of Object.entries(value))
        walk(
          member,
          /^[\w$]+$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`,
        );
  };
  walk(value, path);
  return fields;
}

/**
 * Folds a text: lower case, composed, one space between words, no control characters (Postgres cannot hold
 * U+0000).
 */
export const fold = (text: string): string =>
  text
    .toWellFormed()
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll("ς", "σ") // both are lower case of Σ: toLowerCase() gives ς at the end of a word
    .replace(/[\s\p{Cc}]+/gu, " ");

/**
 * For each character of the folded text `whole`, its start and end in the original text; undefined where that
 * is not known.
 */
export function originOf(
  text: string,
  whole: string,
): { start: number; end: number }[] | undefined {
  const origin: { start: number; end: number }[] = [];
  let pieces = "";
  for (const { 0: piece, index } of text.matchAll(/[\s\p{Cc}]+|[^\s\p{Cc}]\p{M}*/gu)) {
    const part = fold(piece);
    for (let i = 0; i < part.length; i++) origin.push({ start: index, end: index + piece.length });
    pieces += part;
  }
  return pieces === whole ? origin : undefined;
}

// Scripts that are written without spaces, so that it is not known where words begin.
const unspaced =
  /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}\p{sc=Bopo}ー]/u;
const letter = /[\p{L}\p{N}]/u;
const mark = /\p{M}/u;

const kind = { space: 1, letter: 2, unspaced: 3, sign: 4, mark: 5 };
const kinds = new Uint8Array(0x110000); // cached by code point: a store looks at every character of its text

function kindOf(code: number | undefined): number {
  if (code === undefined) return kind.space;
  const known = kinds[code];
  if (known) return known;
  const char = String.fromCodePoint(code);
  const found =
    char === " " || char === "\n"
      ? kind.space
      : mark.test(char)
        ? kind.mark
        : unspaced.test(char)
          ? kind.unspaced
          : letter.test(char)
            ? kind.letter
            : kind.sign;
  kinds[code] = found;
  return found;
}

export const isUnspaced = (text: string): boolean => unspaced.test(text);

/** Letters of a text. A sign is a character that is no letter, digit, mark or space. */
interface Letters {
  /** Two neighbours of which at least one is a sign, a mark or of an unspaced script. */
  pairs: string[];
  /** Signs, marks and letters of unspaced scripts that a space or the end of the text follows. */
  last: string[];
  /** The first letter and the first two letters of each run of letters. */
  begins: string[];
  /** The first two letters of each run of letters, except a run at the start of the text. */
  later: string[];
}

/** The letters that find a term in folded text where neither words nor trigrams can. */
export function lettersOf(text: string): Letters {
  const [pairs, last, begins, later] = [new Pairs(), new Pairs(), new Pairs(), new Pairs()];
  let before = kind.space;
  let code = text.codePointAt(0);
  for (let i = 0; code !== undefined; ) {
    const after = i + (code > 0xffff ? 2 : 1);
    const next = text.codePointAt(after);
    const [is, follows] = [kindOf(code), kindOf(next)];
    if (is === kind.letter && before !== kind.letter) {
      const second = follows === kind.letter ? next : undefined;
      begins.add(code);
      begins.add(code, second);
      if (i > 0) later.add(code, second);
    }
    if (is >= kind.unspaced && follows === kind.space) last.add(code);
    if (is !== kind.space && follows !== kind.space && Math.max(is, follows) >= kind.unspaced)
      pairs.add(code, next);
    if (is !== kind.mark) before = is;
    else if (before === kind.space) before = kind.letter; // a mark without a letter before it counts as one
    i = after;
    code = next;
  }
  return { pairs: pairs.texts, last: last.texts, begins: begins.texts, later: later.texts };
}

/** A set of letters and pairs of letters, kept as numbers because most of them repeat. */
class Pairs {
  readonly #seen = new Set<number>();

  add(code: number, next = 0): void {
    this.#seen.add(code * 0x110000 + next);
  }

  get texts(): string[] {
    return [...this.#seen].map((pair) => {
      const next = pair % 0x110000;
      const first = String.fromCodePoint((pair - next) / 0x110000);
      return next === 0 ? first : first + String.fromCodePoint(next);
    });
  }
}

/** The index at which a word of folded text begins with the term; -1 if none does. */
export function beginning(text: string, term: string): number {
  for (let at = text.indexOf(term); at >= 0; at = text.indexOf(term, at + 1)) {
    const [before] = /\P{M}\p{M}*$/u.exec(text.slice(Math.max(at - 50, 0), at)) ?? [];
    if (kindOf(before?.codePointAt(0)) !== kind.letter) return at;
  }
  return -1;
}

/**
 * JSON text that Postgres can store as jsonb, and that is equal for equal values only. Postgres takes neither
 * U+0000 nor half of a surrogate pair, and jsonb has no numbers of any size. These are written behind
 * `escaped`.
 */
export function comparable(value: unknown): string {
  return JSON.stringify(value, (_, member) => {
    if (typeof member === "string") return plain(member);
    if (member instanceof NumberText) {
      const number = canonicalNumber(member.text);
      return typeof number === "number" ? number : `${escaped}n${number}`;
    }
    return typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).map(([name, of]) => [plain(name), of]))
      : member;
  });
}

const escaped = "\ufffd";
const unusual =
  /[\0\ufffd]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const plain = (text: string) =>
  text.replace(unusual, (char) =>
    char === escaped ? escaped + escaped : `${escaped}u${char.charCodeAt(0).toString(16)};`,
  );

const wordsCharsMax = 128 * 1024; // text beyond is found as it is written, not in other forms of its words
const lettersMax = 50_000;
/** Marks letters among the words of a record. No word begins with it, since no folded text holds it. */
const lettersMark = "\u0001";
export const letterLexeme = (letters: string): string => lettersMark + letters;
/** Marks a record with more letters than are stored: its text is read instead. */
export const unindexed = lettersMark + lettersMark;

/** The searched text of a record, as the statement takes it. */
export interface Searchable {
  /** All fields, folded, one line each. */
  text: string;
  /** The fields whose words are indexed, as a JSON array. */
  fields: string;
  letters: string[];
}

export function searchable(value: unknown): Searchable {
  const fields = fieldsOf(value, "").map(({ text }) => fold(text));
  let room = wordsCharsMax;
  const indexed = fields.map((field) => {
    const part = field.slice(0, Math.max(room, 0)).toWellFormed();
    room -= field.length;
    return part;
  });
  const text = fields.join("\n");
  const { pairs, last, begins } = lettersOf(text);
  const letters = [...new Set([...begins, ...last, ...pairs])].map(letterLexeme);
  return {
    text,
    fields: JSON.stringify(indexed),
    letters: letters.length > lettersMax ? [...letters.slice(0, lettersMax), unindexed] : letters,
  };
}
