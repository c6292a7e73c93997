// The language of searches, which is a text search configuration of Postgres.
import type { Run } from "../postgres/connection.js";

export interface Language {
  name: string;
  /**
   * Its id in Postgres. Statements name the language by it, so that Postgres can compute the words of a query
   * while it plans.
   */
  oid: number;
  /**
   * The ids of its dictionaries: those of words in ASCII, of other words, and of words with digits. The lists
   * have one length; zeros fill them up. A word is looked up in its list from left to right.
   */
  dictionaries: [ascii: number[], other: number[], digits: number[]];
}

/** The database does not have the language of the setting; the message lists those it has. */
export class UnknownLanguage extends Error {}

export async function languageOf(run: Run, name: string): Promise<Language> {
  const known = await run<{ name: string; oid: number }>(
    (sql) =>
      sql`select cfgname as name, oid::int as oid from pg_ts_config where pg_ts_config_is_visible(oid) order by cfgname`,
  );
  const found = known.find((language) => language.name === name);
  if (found) return { ...found, dictionaries: await dictionariesOf(run, found.oid) };
  const names = known.map((language) => language.name).join(", ");
  throw new UnknownLanguage(
    `--search-language ${name} is not known to the database, which has ${names}`,
  );
}

/** What Postgres maps its types of tokens `asciiword`, `word` and `numword` to. */
async function dictionariesOf(run: Run, oid: number): Promise<Language["dictionaries"]> {
  const rows = await run<{ dictionaries: number[] | null }>(
    (sql) => sql`
      select json_agg(m.mapdict::int order by m.mapseqno) filter (where m.mapdict is not null) as dictionaries
      from unnest(array['asciiword', 'word', 'numword']) with ordinality as token (alias, number)
      join pg_ts_config c on c.oid = ${oid}::int::oid
      join lateral ts_token_type(c.cfgparser) as t on t.alias = token.alias
      left join pg_ts_config_map m on m.mapcfg = c.oid and m.maptokentype = t.tokid
      group by token.number order by token.number`,
  );
  const lists = rows.map(({ dictionaries }) => dictionaries ?? []);
  const length = Math.max(1, ...lists.map((list) => list.length));
  const filled = (list: number[] = []) => [...list, ...Array(length - list.length).fill(0)];
  const [ascii, other, digits] = lists;
  return [filled(ascii), filled(other), filled(digits)];
}
