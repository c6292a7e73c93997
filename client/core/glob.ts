// Glob patterns as Redis has them: `*` any text, `?` one character, `[abc]`, `[^a]`, `[a-z]`, and `\*` the character
// itself. A match takes at most as many steps as the text has characters for each character of the pattern.

/** A pattern: what every match begins with, and whether a text matches. */
export interface Glob {
  readonly prefix: string;
  matches(text: string): boolean;
}

const anyText = Symbol("*");

/** `*`, or one character: a literal one, or those that pass a test. */
type Part = typeof anyText | string | ((character: string) => boolean);

export function glob(pattern: string): Glob {
  const parts = partsOf([...pattern]);
  const literals = parts.findIndex((part) => typeof part !== "string");
  return {
    prefix: parts.slice(0, literals === -1 ? parts.length : literals).join(""),
    matches: (text) => matches(parts, [...text]),
  };
}

function partsOf(pattern: readonly string[]): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] as string;
    if (character === "*") {
      if (parts.at(-1) !== anyText) parts.push(anyText);
    } else if (character === "?") parts.push(() => true);
    else if (character === "[") {
      const set = setFrom(pattern, at + 1);
      parts.push(set.test);
      at = set.end;
    } else if (character === "\\" && at + 1 < pattern.length) parts.push(pattern[++at] as string);
    else parts.push(character);
  }
  return parts;
}

/** Reads a set of characters up to its `]`, or to the end of the pattern. `end` is the place of the `]`. */
function setFrom(
  pattern: readonly string[],
  from: number,
): { test: (character: string) => boolean; end: number } {
  const isNegated = pattern[from] === "^";
  const ranges: [low: string, high: string][] = [];
  let at = isNegated ? from + 1 : from;
  const character = () =>
    (pattern[at] === "\\" && at + 1 < pattern.length ? pattern[++at] : pattern[at]) as string;
  for (; at < pattern.length && pattern[at] !== "]"; at++) {
    const low = character();
    let high = low;
    if (pattern[at + 1] === "-" && at + 2 < pattern.length && pattern[at + 2] !== "]") {
      at += 2;
      high = character();
    }
    ranges.push(low <= high ? [low, high] : [high, low]);
  }
  const isIn = (one: string) => ranges.some(([low, high]) => low <= one && one <= high);
  return { test: (one) => isIn(one) !== isNegated, end: at };
}

/** Lets each `*` take as little as possible; if the rest fails, the last `*` takes one character more. */
function matches(parts: readonly Part[], text: readonly string[]): boolean {
  let [part, at] = [0, 0];
  let [lastStar, takenTo] = [-1, 0];
  while (at < text.length) {
    const one = parts[part];
    if (one === anyText) {
      lastStar = part++;
      takenTo = at;
    } else if (
      one !== undefined &&
      (typeof one === "string" ? one === text[at] : one(text[at] as string))
    ) {
      part++;
      at++;
    } else if (lastStar === -1) return false;
    else {
      part = lastStar + 1;
      at = ++takenTo;
    }
  }
  while (parts[part] === anyText) part++;
  return part === parts.length;
}

/** The text as a pattern that only it matches. */
export const quoted = (text: string): string => text.replace(/[\\*?[\]]/g, "\\$&");
