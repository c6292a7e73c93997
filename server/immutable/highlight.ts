// Which fields of a record a query found, and what they say there. The words are marked by the database, which knows their forms, line
// by line of the folded text, a line a field; fragments are found here.
import type { Fragment, Sql } from "../connection.js";
import { fieldsOf, fold } from "../text.js";
import type { RecordRow } from "../versions.js";
import type { SearchPlace } from "./search.js";
import type { Term, Terms } from "./terms.js";

const matchesMax = 100;
const highlightsMax = 10;
const lineCharsMax = 20_000; // of a field that are looked at for words
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
    select json_agg(json_build_array(number, ts_headline(${language}, line, ${terms.any()}, ${marks})))
    from (select number, left(line, ${lineCharsMax}) as line from string_to_table(${text}, E'\\n') with ordinality as l (line, number)) as l
    where to_tsvector(${language}, line) @@ ${terms.any()})`;
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
      if (found.matches.length === matchesMax) return;
      const folded = fold(text);
      const spans = [...wordsIn(lines.get(i + 1)), ...fragmentsIn(folded, terms)];
      if (spans.length === 0) return;
      found.matches.push(path);
      if (found.highlights.length === highlightsMax) return;
      const shown = folded.length === text.length ? text : folded; // folding may have moved the letters
      found.highlights.push({ path, text: excerpt(shown, spans) });
    });
  }
  return found;
}

type Span = [from: number, to: number];

function wordsIn(line = ""): Span[] {
  const spans: Span[] = [];
  let at = 0;
  for (const [i, part] of line.replaceAll(close, open).split(open).entries()) {
    if (i % 2 === 1) spans.push([at, at + part.length]);
    at += part.length;
  }
  return spans;
}

const fragmentsIn = (folded: string, terms: Term[]): Span[] =>
  terms.flatMap(({ text, plain, fragment }): Span[] => {
    const at = plain && !fragment ? -1 : folded.indexOf(text);
    return at < 0 ? [] : [[at, at + text.length]];
  });

/** The text around the first match, with the matches marked. */
function excerpt(text: string, spans: Span[]): string {
  spans.sort(([a, endA], [b, endB]) => a - b || endB - endA);
  const [[first]] = spans as [Span];
  const from = Math.max(first - around, 0);
  const to = Math.min(Math.max(first + 2 * around, (spans[0] as Span)[1] + around), text.length);
  let shown = from > 0 ? "…" : "";
  let at = from;
  for (const [start, end] of spans) {
    if (start < at || end > to) continue;
    shown += `${text.slice(at, start)}<mark>${text.slice(start, end)}</mark>`;
    at = end;
  }
  return `${shown}${text.slice(at, to)}${to < text.length ? "…" : ""}`.toWellFormed();
}
