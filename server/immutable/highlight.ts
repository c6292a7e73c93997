// Which fields of a record a query found, and what they say there. Words are found by the database, which knows their endings,
// fragments here.
import type { Run } from "../connection.js";
import { type Field, fieldsOf, fold } from "../text.js";
import type { RecordRow } from "../versions.js";
import type { SearchPlace } from "./search.js";
import type { Term } from "./terms.js";

const matchesMax = 100;
const highlightsMax = 10;
const fieldCharsMax = 20_000; // of a field that are looked at for words
const wordsCharsMax = 1024 * 1024; // of all fields of a page
const around = 60; // characters before and after a fragment
const markings = "StartSel=<mark>, StopSel=</mark>, MaxWords=30, MinWords=10, MaxFragments=1";

interface Marked {
  matches: string[];
  highlights: { path: string; text: string }[];
}

interface Candidate extends Field {
  row: number;
}

export async function highlight(
  run: Run,
  rows: RecordRow[],
  { terms, places, language }: { terms: Term[]; places: SearchPlace[]; language: string },
): Promise<Marked[]> {
  const candidates = rows.flatMap((row, i) =>
    places.flatMap((place) =>
      fieldsOf(JSON.parse(row[place]), place).map((field): Candidate => ({ ...field, row: i })),
    ),
  );
  const words = terms.flatMap((term) => term.words ?? []);
  const headlines = await headlinesOf(run, candidates, words, language);
  const marked = rows.map((): Marked => ({ matches: [], highlights: [] }));
  candidates.forEach((field, i) => {
    const text = headlines[i] ?? excerpt(field.text, terms);
    const of = marked[field.row] as Marked;
    if (text === undefined || of.matches.length === matchesMax) return;
    of.matches.push(field.path);
    if (of.highlights.length < highlightsMax) of.highlights.push({ path: field.path, text });
  });
  return marked;
}

/** For each field what it says of the words; undefined where nothing. */
async function headlinesOf(
  run: Run,
  fields: Candidate[],
  words: string[],
  language: string,
): Promise<(string | undefined)[]> {
  if (words.length === 0) return [];
  let room = wordsCharsMax;
  const texts = fields.map(({ text }) => {
    const part = text.slice(0, Math.max(Math.min(fieldCharsMax, room), 0));
    room -= part.length;
    return part.toWellFormed().replaceAll("\0", " ");
  });
  const found = await run<{ number: number; headline: string }>(
    (sql) => sql`
      select (number - 1)::int as number, ts_headline(${language}::regconfig, text, query, ${markings}) as headline
      from unnest(${texts}::text[]) with ordinality as field (text, number)
      cross join (select ${words.map((word) => `(${word})`).join(" | ")}::tsquery as query) as asked
      where to_tsvector(${language}::regconfig, text) @@ query`,
  );
  const headlines: (string | undefined)[] = fields.map(() => undefined);
  for (const { number, headline } of found) headlines[number] = headline;
  return headlines;
}

/** The text around the first fragment that is a term; undefined where there is none. */
function excerpt(text: string, terms: Term[]): string | undefined {
  const folded = fold(text);
  const [first] = terms
    .map((term) => ({ length: term.text.length, at: folded.indexOf(term.text) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at);
  if (!first) return undefined;
  const shown = folded.length === text.length ? text : folded; // folding may have moved the letters
  const { at, length } = first;
  const before = shown.slice(Math.max(at - around, 0), at);
  const after = shown.slice(at + length, at + length + around);
  const piece = `${before}<mark>${shown.slice(at, at + length)}</mark>${after}`;
  return `${at > around ? "…" : ""}${piece.toWellFormed()}${shown.length > at + length + around ? "…" : ""}`;
}
