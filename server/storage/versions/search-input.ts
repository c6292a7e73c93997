// What a record is found by, as input columns of a statement.
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { InputRow } from "../../postgres/recordset.js";
import { comparable, fieldsOf } from "../../search/fields.js";
import { type Searchable, searchable } from "../../search/searchable.js";

export const searchColumns = {
  text: "text",
  words: "text[]",
  lines: "int[]",
  positions: "text[]",
  letters: "text[]",
  metadata_text: "text",
  metadata_words: "text[]",
  metadata_lines: "int[]",
  metadata_positions: "text[]",
  metadata_letters: "text[]",
  labels: "text",
} as const;

export type SearchInput = InputRow<typeof searchColumns>;

/**
 * The input of a record whose data and metadata were read by `parseExactly`. Metadata undefined: that of the
 * version before.
 */
export function searchInput(data: unknown, metadata: unknown): SearchInput {
  const own: Partial<Searchable> = metadata === undefined ? {} : searchable(fieldsOf(metadata, ""));
  return {
    ...searchable(fieldsOf(data, "")),
    metadata_text: own.text,
    metadata_words: own.words,
    metadata_lines: own.lines,
    metadata_positions: own.positions,
    metadata_letters: own.letters,
    labels: metadata === undefined ? undefined : comparable(metadata),
  };
}

/** The search vectors of a row `input` of these columns. */
export function searchVectors(
  sql: Sql,
  dictionaries: Fragment,
): { data: Fragment; metadata: Fragment } {
  return {
    data: sql`search_words(${dictionaries}, input.words, input.lines, input.positions, input.letters)`,
    metadata: sql`search_words(${dictionaries}, input.metadata_words, input.metadata_lines, input.metadata_positions, input.metadata_letters)`,
  };
}
