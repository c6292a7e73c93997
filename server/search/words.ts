// The words of folded text: those of Unicode (UAX 29), cut at the signs in them, such as the apostrophe in
// `customer's` or the point in `node.js`. So a word is letters, digits and marks without a sign between them.
// The words of scripts without spaces are not looked for: their text is found by its letters.
import { kinds } from "./kinds.js";
import { kindOf } from "./unicode.js";

const wordCharsMax = 500; // Postgres takes no forms of more than 2046 bytes

/** Calls `found` for each word of the text, in order. */
export function eachWord(
  text: string,
  found: (word: string, from: number, to: number) => void,
): void {
  let from = -1;
  const end = (to: number) => {
    if (from >= 0 && to - from <= wordCharsMax) found(text.slice(from, to), from, to);
    from = -1;
  };
  for (let i = 0; i < text.length; ) {
    const code = text.codePointAt(i) as number;
    const kind = kindOf(code);
    if (kind === kinds.letter && from < 0) from = i;
    else if (kind !== kinds.letter && kind !== kinds.mark) end(i);
    i += code > 0xffff ? 2 : 1;
  }
  end(text.length);
}

/** The place of a word's dictionaries among those of a language, from 1. */
export const lineOf = (word: string): number =>
  /[0-9]/.test(word) ? 3 : /^[a-z]+$/.test(word) ? 1 : 2;

const positionsMax = 255; // of one word; Postgres keeps no more
const lastPosition = 16_382; // Postgres has no later ones
const fieldGap = 8; // so that a phrase does not reach from one field into the next

/** Numbers the words of fields one after the other. Words behind the last number get none. */
export class WordPositions {
  readonly #positions = new Map<string, number[]>();
  #next = 1;

  /** Gives the position of the next word; undefined if there are no more. */
  add(word: string): number | undefined {
    const known = this.#positions.get(word);
    const position = this.#next > lastPosition ? undefined : this.#next++;
    if (!known) this.#positions.set(word, position === undefined ? [] : [position]);
    else if (position !== undefined && known.length < positionsMax) known.push(position);
    return position;
  }

  endField(): void {
    this.#next += fieldGap;
  }

  get words(): string[] {
    return [...this.#positions.keys()];
  }

  /** The positions of each word, as Postgres reads them behind it. */
  get texts(): string[] {
    return [...this.#positions.values()].map((all) => (all.length > 0 ? `:${all.join(",")}` : ""));
  }
}
