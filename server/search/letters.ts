// The letters of a text, by which a term is found that neither words nor trigrams can find.
import { kinds } from "./kinds.js";
import { kindOf } from "./unicode.js";

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
  let before = kinds.space;
  let code = text.codePointAt(0);
  for (let i = 0; code !== undefined; ) {
    const after = i + (code > 0xffff ? 2 : 1);
    const next = text.codePointAt(after);
    const [is, follows] = [kindOf(code), kindOf(next)];
    if (is === kinds.letter && before !== kinds.letter) {
      const second = follows === kinds.letter ? next : undefined;
      begins.add(code);
      begins.add(code, second);
      if (i > 0) later.add(code, second);
    }
    if (is >= kinds.unspaced && follows === kinds.space) last.add(code);
    if (is !== kinds.space && follows !== kinds.space && Math.max(is, follows) >= kinds.unspaced)
      pairs.add(code, next);
    if (is !== kinds.mark) before = is;
    else if (before === kinds.space) before = kinds.letter; // a mark without a letter before it counts as one
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
    const before = [...text.slice(Math.max(at - 50, 0), at)];
    const letter = before.findLast((char) => kindOf(char.codePointAt(0)) !== kinds.mark);
    if (kindOf(letter?.codePointAt(0)) !== kinds.letter) return at;
  }
  return -1;
}
