// Which fields of a record a query found, and what they say there. The words are marked by the database, which knows their forms, line
// by line of the folded text, a line a field; fragments are found here.

import type { SearchPlace } from "../immutable/search.js";
import type { Fragment, Sql } from "../postgres/connection.js";
import type { RecordRow } from "../storage/versions/version.js";
import type { Term, Terms } from "./query.js";
import { beginning, fieldsOf, fold, originOf } from "./text.js";

const matchesMax = 100;
const highlightsMax = 10;
const pathCharsMax = 1024;
const lineCharsMax = 20_000; // of a field in which words are marked
const around = 60; // characters before and after the first match

// Characters that no text holds once it is folded.
const open = "\u0001";
const close = "\u0002";

/** The number of a field, from 1, and its folded text with the words marked. */
export type Line = [number: number, text: string];

/** The lines of a place that hold words of any of the terms. */
export function linesOf(
  sql: Sql,
  places: SearchPlace[],
  place: SearchPlace,
  terms: Terms,
): Fragment {
  if (!places.includes(place)) return sql`null::json`;
  const language = sql`${terms.language.oid}::int::oid::regconfig`;
  const text = place === "data" ? sql`h.data_text` : sql`h.metadata_text`;
  const marks = `HighlightAll=true, StartSel=${open}, StopSel=${close}`;
  return sql`(
    select json_agg(json_build_array(number, ts_headline(${language}, left(line, ${lineCharsMax}), ${terms.any()}, ${marks})))
    from string_to_table(${text}, E'\\n') with ordinality as l (line, number)
    where search_words(${language}, json_build_array(line), '{}') @@ ${terms.any()})`;
}

interface Marked {
  matches: string[];
  highlights: { path: string; text: string }[];
}

interface Lines {
  data_lines: Line[] | null;
  metadata_lines: Line[] | null;
}

/** The fields of a record that hold any of the terms. */
export function marked(row: RecordRow & Lines, places: SearchPlace[], terms: Term[]): Marked {
  const found: Marked = { matches: [], highlights: [] };
  for (const place of places) {
    const lines = new Map(place === "data" ? row.data_lines : row.metadata_lines);
    fieldsOf(JSON.parse(row[place]), place).forEach(({ path, text }, i) => {
      if (found.matches.length === matchesMax || path.length > pathCharsMax) return;
      const line = lines.get(i + 1);
      const whole = fold(text);
      const spans = fragmentsIn(whole, terms);
      if (line === undefined && spans.length === 0) return;
      found.matches.push(path);
      if (found.highlights.length < highlightsMax)
        found.highlights.push({
          path,
          text: shown(text, whole, [...spans, ...wordsIn(line, whole)]),
        });
    });
  }
  return found;
}

type Span = [from: number, to: number];

/** Where the marked words of a line stand in the folded text; nothing where Postgres left words out, which are too long for it. */
function wordsIn(line: string | undefined, whole: string): Span[] {
  if (line === undefined) return [];
  const parts = line.replaceAll(close, open).split(open);
  if (!whole.startsWith(parts.join(""))) return [];
  const spans: Span[] = [];
  let at = 0;
  for (const [i, part] of parts.entries()) {
    if (i % 2 === 1) spans.push([at, at + part.length]);
    at += part.length;
  }
  return spans;
}

/** Where the terms stand as they are written, each at its first place; short ones where a word begins. */
const fragmentsIn = (text: string, terms: Term[]): Span[] =>
  terms.flatMap((term): Span[] => {
    const at = term.short ? beginning(text, term.text) : text.indexOf(term.text);
    return at < 0 ? [] : [[at, at + term.text.length]];
  });

/** The text as it was around the first match, with the matches marked; its beginning where none is known. */
function shown(text: string, whole: string, spans: Span[]): string {
  if (text.length === whole.length && text.toLowerCase() === whole) return excerpt(text, spans); // as nearly always
  const origin = originOf(text, whole);
  if (!origin) return excerpt(whole, spans);
  return excerpt(
    text,
    spans.map(([from, to]): Span => [origin[from]?.start ?? 0, origin[to - 1]?.end ?? 0]),
  );
}

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
