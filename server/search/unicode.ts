// The properties of characters, by the tables of one version of Unicode (unicode-data.ts). So a text has the
// same words in each database, whatever its locale is, and on each Node, whatever version of Unicode it has.
import { kinds } from "./kinds.js";
import { caseFoldsToOne, caseFoldsToSeveral, kindRuns } from "./unicode-data.js";

interface Run {
  kind: number;
  from: number;
  /** The code point behind the last one. */
  to: number;
}

const runs: Run[] = [];
for (const [, count = "", letter = ""] of kindRuns.matchAll(/([0-9a-z]+)([A-G])/g)) {
  const from = runs.at(-1)?.to ?? 0;
  runs.push({ kind: letter.charCodeAt(0) - 65, from, to: from + Number.parseInt(count, 36) });
}

const kindOfAll = new Uint8Array(0x110000);
for (const { kind, from, to } of runs) kindOfAll.fill(kind, from, to);

/** The kind of a code point; a space stands before and behind a text. */
export const kindOf = (codePoint: number | undefined): number =>
  codePoint === undefined ? kinds.space : (kindOfAll[codePoint] ?? kinds.sign);

const kindOfUnit = kindOfAll.slice(0, 0x10000);
const surrogate = 255;
kindOfUnit.fill(surrogate, 0xd800, 0xe000);

/** False if the text holds no character of that kind. */
export function mayHold(text: string, kind: number): boolean {
  for (let i = 0; i < text.length; i++) {
    const found = kindOfUnit[text.charCodeAt(i)];
    if (found === kind || found === surrogate) return true;
  }
  return false;
}

/** Characters of these kinds, as they stand in a class of a regular expression that has the u flag. */
export const charactersOf = (...kinds: number[]): string =>
  runs
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ from, to }) => `${escaped(from)}-${escaped(to - 1)}`)
    .join("");

const escaped = (codePoint: number) => `\\u{${codePoint.toString(16)}}`;

const folds = Uint16Array.from({ length: 0x10000 }, (_, unit) => unit);
const longFolds = new Map<number, string>(); // those that are not one unit for one
const mayFoldLong = new Uint8Array(0x10000).fill(1, 0xd800, 0xe000);
let last = 0;
for (const run of caseFoldsToOne.split(",")) {
  const [skip = 0, step = 0, count = 0, added = 0] = run
    .split(" ")
    .map((digits) => Number.parseInt(digits, 36));
  for (let i = 0; i < count; i++) {
    const from = last + skip + i * step;
    if (from < 0x10000) folds[from] = from + added;
    else longFolds.set(from, String.fromCodePoint(from + added));
  }
  last += skip + (count - 1) * step;
}
for (const [from, to] of caseFoldsToSeveral) {
  longFolds.set(from.charCodeAt(0), to);
  mayFoldLong[from.charCodeAt(0)] = 1;
}
const longFold = new RegExp(`[${[...longFolds.keys()].map(escaped).join("")}]`, "gu");

/** Folds the case of each letter, as Unicode's full case folding does: ß and ẞ become ss. */
export function foldCase(text: string): string {
  const units = new Uint16Array(text.length);
  let long = 0;
  for (let i = 0; i < units.length; i++) {
    const unit = text.charCodeAt(i);
    units[i] = folds[unit] as number;
    long |= mayFoldLong[unit] as number;
  }
  let folded = "";
  for (let from = 0; from < units.length; from += chunk)
    folded += String.fromCharCode.apply(null, units.subarray(from, from + chunk) as never);
  return long
    ? folded.replace(longFold, (letter) => longFolds.get(letter.codePointAt(0) ?? 0) ?? letter)
    : folded;
}

const chunk = 8192; // units that are passed as arguments at once
