// Folds text, so that what people read as the same is the same: the case and the composition of letters, the
// forms of apostrophes and hyphens, white space, and characters that nobody sees.
import { kinds } from "./kinds.js";
import { charactersOf, foldCase, mayHold } from "./unicode.js";

const ascii = /^[\0-\x7f]*$/;
const otherSpaces = "\\0-\\x1f\\x7f-\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** White space and control characters, unless it is a single space. (Postgres cannot hold U+0000.) */
const spaces = new RegExp(` *[${otherSpaces}][ ${otherSpaces}]*| {2,}`, "g");
const ignored = new RegExp(`[${charactersOf(kinds.ignored)}]`, "gu");
const unassigned = new RegExp(`([${charactersOf(kinds.unassigned)}]+)`, "u");
const apostrophes = /[‘’‛ʻʼʽˈ´՚׳ꞌꞋ]/g;
const hyphens = /[‐‑]/g;

/** The folded text: case-folded by Unicode's NFKC, with single spaces and no control characters. */
export function fold(text: string): string {
  if (ascii.test(text)) return text.toLowerCase().replace(spaces, " ");
  const wellFormed = text.toWellFormed();
  const visible = (mayHold(text, kinds.ignored) ? wellFormed.replace(ignored, "") : wellFormed)
    .replace(apostrophes, "'")
    .replace(hyphens, "-")
    .replaceAll("ŉ", "'n");
  // Node may know characters that came later, and would normalise these.
  const folded = mayHold(visible, kinds.unassigned)
    ? visible
        .split(unassigned)
        .map((part, i) => (i % 2 === 0 ? normalised(part) : part))
        .join("")
    : normalised(visible);
  return folded.replace(spaces, " ");
}

const normalised = (text: string): string => foldCase(text.normalize("NFKC")).normalize("NFKC");

export type Span = [from: number, to: number];

// A character with all that may be composed with it: marks, and the parts of a Hangul syllable.
const composed = `${charactersOf(kinds.mark, kinds.ignored)}\\u1100-\\u11ff\\u3131-\\u318e\\ua960-\\ua97f\\ud7b0-\\ud7ff\\uff9e-\\uffdc`;
const space = charactersOf(kinds.space);
const pieces = new RegExp(
  `[${space}][${space}${charactersOf(kinds.ignored)}]*|[^][${composed}]*`,
  "gu",
);

/** Where the spans of the folded text `whole` stand in the original text; none if that is not known. */
export function originalSpans(text: string, whole: string, spans: Span[]): Span[] {
  if (text.length === whole.length && ascii.test(text)) return spans;
  const starts: number[] = [];
  const ends: number[] = [];
  const parts: string[] = [];
  const known = new Map<string, string>(); // most characters repeat
  let afterSpace = false;
  for (const { 0: piece, index } of text.matchAll(pieces)) {
    let part = known.get(piece) ?? fold(piece);
    known.set(piece, part);
    if (afterSpace && part.startsWith(" ")) part = part.slice(1);
    for (let i = 0; i < part.length; i++) {
      starts.push(index);
      ends.push(index + piece.length);
    }
    parts.push(part);
    if (part !== "") afterSpace = part.endsWith(" ");
  }
  if (parts.join("") !== whole) return [];
  return spans.map(([from, to]): Span => [starts[from] ?? 0, ends[to - 1] ?? 0]);
}
