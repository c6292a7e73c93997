// Finds the fields of a record that match a query, and marks the matches in their text. The database marks
// words, because it knows their forms. It does so in the folded text of the record, which has one line for
// each field. Terms that stand in the text as they were written in the query are marked here.
import type { Fragment, Sql } from "../postgres/connection.js";
import { parseExactly } from "../validation/exact-json.js";
import type { Term, TermConditions } from "./query.js";
import { beginning, fieldsOf, fold, originOf } from "./text.js";

/** The part of a record that is searched. */
export type SearchedField = "data" | "metadata";

const matchesMax = 100;
const highlightsMax = 10;
const pathCharsMax = 1024;
const lineCharsMax = 20_000; // words are marked only in this first part of a field
const around = 60; // characters shown before and after the first match

// No folded text holds these characters.
const open = "\u0001";
const close = "\u0002";

/** The number of a field, from 1, and its folded text with the words marked. */
export type MarkedLine = [number: number, text: string];

/** The lines of the field that hold words of any term; null where the field is not searched. */
export function markedLines(
  sql: Sql,
  searched: SearchedField[],
  field: SearchedField,
  conditions: TermConditions,
): Fragment {
  if (!searched.includes(field)) return sql`null::json`;
  const language = sql`${conditions.language.oid}::int::oid::regconfig`;
  const text = field === "data" ? sql`h.data_text` : sql`h.metadata_text`;
  const marks = `HighlightAll=true, StartSel=${open}, StopSel=${close}`;
  return sql`(
    select json_agg(json_build_array(number, ts_headline(${language}, left(line, ${lineCharsMax}), ${conditions.anyWord()}, ${marks})))
    from string_to_table(${text}, E'\\n') with ordinality as l (line, number)
    where search_words(${language}, json_build_array(line), '{}') @@ ${conditions.anyWord()})`;
}

interface Marks {
  matches: string[];
  highlights: { path: string; text: string }[];
}

interface MarkedRow {
  data: string;
  metadata: string;
  data_lines: MarkedLine[] | null;
  metadata_lines: MarkedLine[] | null;
}

/** The fields of a record that hold any of the terms. */
export function highlight(row: MarkedRow, searched: SearchedField[], terms: Term[]): Marks {
  const found: Marks = { matches: [], highlights: [] };
  for (const field of searched) {
    const lines = new Map(field === "data" ? row.data_lines : row.metadata_lines);
    fieldsOf(parseExactly(row[field]), field).forEach(({ path, text }, i) => {
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

/**
 * The positions of the marked words of a line in the folded text. None if Postgres left out words that are
 * too long for it.
 */
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

/** The first position of each term as it is written. A short term counts only where a word begins with it. */
const fragmentsIn = (text: string, terms: Term[]): Span[] =>
  terms.flatMap((term): Span[] => {
    const at = term.short ? beginning(text, term.text) : text.indexOf(term.text);
    return at < 0 ? [] : [[at, at + term.text.length]];
  });

/**
 * The original text around the first match, with the matches marked; its beginning where no match is known.
 */
function shown(text: string, whole: string, spans: Span[]): string {
  // The usual case: folding changed only the case of letters.
  if (text.length === whole.length && text.toLowerCase() === whole) return excerpt(text, spans);
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
