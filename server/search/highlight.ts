// Finds the fields of a record that match a query, and marks the matches in their text: words in any of their
// forms, and terms that stand in the text as they were written in the query.
import type { Fragment, Sql } from "../postgres/connection.js";
import { parseExactly } from "../validation/exact-json.js";
import { fieldsOf } from "./fields.js";
import { fold, originalSpans, type Span } from "./fold.js";
import { beginning } from "./letters.js";
import { isFoundAsWords, type Term } from "./query.js";
import { eachIndexedWord, unicodeVersion } from "./searchable.js";

/** The part of a record that is searched. */
export type SearchedField = "data" | "metadata";

const matchesMax = 100;
const highlightsMax = 10;
const pathCharsMax = 1024;
const around = 60; // characters shown before and after the first match

/** The positions of forms in the words of a record. */
type Positions = Record<string, number[] | null>;

/** The positions of the forms of all terms in the words of that field; null where it is not searched. */
export function positionsOf(
  sql: Sql,
  searched: SearchedField[],
  field: SearchedField,
  terms: Term[],
): Fragment {
  const forms = terms.filter(isFoundAsWords).flatMap((term) => term.forms.flat());
  if (!searched.includes(field) || forms.length === 0) return sql`null::json`;
  const words = field === "data" ? sql`h.data_words` : sql`h.metadata_words`;
  return sql`(
    select json_object_agg(found.lexeme, found.positions) from unnest(${words}) as found
    where found.lexeme = any(${forms}::text[]))`;
}

interface Marks {
  matches: string[];
  highlights: { path: string; text: string }[];
}

export interface FoundRow {
  data: string;
  metadata: string;
  /** The version of Unicode that its words were found by. */
  unicode: string | null;
  data_positions: Positions | null;
  metadata_positions: Positions | null;
}

/** The fields of a record that hold any of the terms. */
export function highlight(row: FoundRow, searched: SearchedField[], terms: Term[]): Marks {
  const found: Marks = { matches: [], highlights: [] };
  for (const searchedField of searched) {
    const fields = fieldsOf(parseExactly(row[searchedField]), searchedField);
    const folded = fields.map(({ text }) => fold(text));
    const positions = searchedField === "data" ? row.data_positions : row.metadata_positions;
    const words = wordSpans(row, terms, fields, folded, positions ?? {});
    for (const [i, { path, text }] of fields.entries()) {
      if (found.matches.length === matchesMax) break;
      if (path.length > pathCharsMax) continue;
      const whole = folded[i] as string;
      const spans = [...fragmentsIn(whole, terms), ...(words.get(i) ?? [])];
      if (spans.length === 0) continue;
      found.matches.push(path);
      if (found.highlights.length < highlightsMax)
        found.highlights.push({ path, text: excerpt(text, originalSpans(text, whole, spans)) });
    }
  }
  return found;
}

/** Where the words of the terms stand in each field, by its number. */
function wordSpans(
  { unicode }: FoundRow,
  terms: Term[],
  fields: { text: string }[],
  folded: string[],
  positions: Positions,
): Map<number, Span[]> {
  const spans = new Map<number, Span[]>();
  if (unicode !== unicodeVersion || Object.keys(positions).length === 0) return spans;
  const found = terms.filter(isFoundAsWords);
  const marked = new Set(found.flatMap(({ forms }) => matchesOf(forms, positions)));
  eachIndexedWord(fields, folded, ({ word, position, field, span }) => {
    if (position === undefined || !marked.has(position)) return;
    const from = span ? span[0] : (folded[field]?.indexOf(word) ?? -1);
    const own = spans.get(field) ?? [];
    if (from >= 0) own.push([from, from + word.length]);
    spans.set(field, own);
  });
  return spans;
}

/** The positions of all words that belong to a place where the words of a term follow one another. */
function matchesOf(words: string[][], positions: Positions): number[] {
  const places = words
    .map((forms, offset) => ({ offset, at: forms.flatMap((form) => positions[form] ?? []) }))
    .filter((_, i) => words[i]?.length !== 0); // a stop word stands for any word
  const first = places[0];
  if (!first) return [];
  const sets = places.map(({ offset, at }) => ({ offset, at: new Set(at) }));
  return first.at.flatMap((start) => {
    const match = sets.map(({ offset }) => start - first.offset + offset);
    return match.every((position, i) => sets[i]?.at.has(position)) ? match : [];
  });
}

/** The first position of each term as it is written. A short term counts only where a word begins with it. */
const fragmentsIn = (text: string, terms: Term[]): Span[] =>
  terms.flatMap((term): Span[] => {
    const at = term.short ? beginning(text, term.text) : text.indexOf(term.text);
    return at < 0 ? [] : [[at, at + term.text.length]];
  });

/** The text around the first span, with the spans marked; its beginning where no span is known. */
function excerpt(text: string, spans: Span[]): string {
  spans.sort(([a, endA], [b, endB]) => a - b || endB - endA);
  const [first, firstEnd] = spans[0] ?? [0, 0];
  const from = Math.max(first - around, 0);
  const to = Math.min(Math.max(first + 2 * around, firstEnd + around), text.length);
  let piece = from > 0 ? "…" : "";
  let at = from;
  for (const [start, end] of spans) {
    if (start < at || end > to) continue;
    piece += `${text.slice(at, start)}<mark>${text.slice(start, end)}</mark>`;
    at = end;
  }
  return `${piece}${text.slice(at, to)}${to < text.length ? "…" : ""}`.toWellFormed();
}
