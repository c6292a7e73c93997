// The language of searches, which is a text search configuration of Postgres.
import type { Run } from "../postgres/connection.js";

export interface Language {
  name: string;
  /**
   * Its id in Postgres. Statements name the language by it, so that Postgres can compute the words of a query
   * while it plans.
   */
  oid: number;
}

/** The database does not have the language of the setting; the message lists those it has. */
export class UnknownLanguage extends Error {}

export async function languageOf(run: Run, name: string): Promise<Language> {
  const known = await run<Language>(
    (sql) =>
      sql`select cfgname as name, oid::int as oid from pg_ts_config where pg_ts_config_is_visible(oid) order by cfgname`,
  );
  const found = known.find((language) => language.name === name);
  if (found) return found;
  const names = known.map((language) => language.name).join(", ");
  throw new UnknownLanguage(
    `--search-language ${name} is not known to the database, which has ${names}`,
  );
}
