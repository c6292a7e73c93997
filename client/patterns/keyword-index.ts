// A keyword index: a document and its keywords are stored and removed together, and found by rank.
import { refused } from "../core/error.js";
import { isSameJson } from "../core/json.js";
import type { Transaction } from "../mutable/transactions/callback.js";
import type { Surface } from "../scopes/scope.js";
import { joinName, prefixName, splitName } from "./names.js";
import { readMany } from "./read-many.js";
import { unwrapErrors } from "./unwrap-errors.js";

/** The namespaces of an index. */
export interface KeywordIndex {
  /** Where the documents are, under their ids. */
  documents: string;
  /** Where the keywords are. */
  index: string;
}

/** A keyword and its weight: how often it occurs, or any other number above 0. */
export type Keywords = Readonly<Record<string, number>>;

const wordMax = 100; // characters, so that a key has room for it
const keywordsMax = 200; // at most 2 operations each, of the 500 of a transaction

/** The key of the list of keywords of a document. No keyword is empty, so none has such a key. */
const listKey = (id: string) => `:${joinName(id)}`;

/**
 * The words of a text with how often each occurs: letters and digits, in lower case, of two characters or more (and
 * at most 100). Those that occur most often come first, at most 200.
 */
export function keywordsOf(text: string): Record<string, number> {
  const counts = new Map<string, number>();
  for (const [word] of text
    .normalize("NFC")
    .toLowerCase()
    .matchAll(/[\p{L}\p{N}][\p{L}\p{M}\p{N}]+/gu))
    if ([...word].length <= wordMax) counts.set(word, (counts.get(word) ?? 0) + 1);
  const byCount = [...counts].sort(([, a], [, b]) => b - a);
  return Object.fromEntries(byCount.slice(0, keywordsMax));
}

/**
 * Stores a document with its keywords, in one transaction: a search never finds one without the other. Keywords that
 * the document had before and has no more are removed.
 *
 * @param keywords At most 200, in lower or upper case, with weights: `keywordsOf(document.content)`.
 * @throws CortexError INVALID_BATCH (too many keywords, one that is empty, a weight that is no number above 0), and
 * what `mutable.set` throws.
 */
export async function indexDocument(
  cortex: Surface,
  { documents, index }: KeywordIndex,
  id: string,
  document: unknown,
  keywords: Keywords,
): Promise<void> {
  const now = checked(keywords);
  const words = Object.entries(now);
  const work = (tx: Transaction) => {
    const before = tx.get<Record<string, number>>(index, listKey(id)) ?? {};
    for (const word of Object.keys(before))
      if (!Object.hasOwn(now, word)) tx.delete(index, joinName(word, id));
    for (const [word, weight] of words)
      if (before[word] !== weight) tx.set(index, joinName(word, id), weight);
    if (!isSameJson(before, now) || words.length === 0) tx.set(index, listKey(id), now);
    tx.set(documents, id, document);
  };
  await unwrapErrors(() => cortex.mutable.transaction(work));
}

/** The keywords as a search looks for them: in lower case. */
function checked(keywords: Keywords): Keywords {
  const words = Object.entries(keywords);
  const found = new Map<string, number>();
  if (words.length > keywordsMax)
    throw refused(
      "INVALID_BATCH",
      "keywords",
      `has ${words.length} keywords, and the limit is ${keywordsMax}`,
    );
  for (const [word, weight] of words) {
    if (word === "") throw refused("INVALID_BATCH", "keywords", "has an empty keyword");
    if (!(typeof weight === "number" && weight > 0 && Number.isFinite(weight)))
      throw refused(
        "INVALID_BATCH",
        "keywords",
        `has a weight that is not a number above 0, for the keyword ${word}`,
      );
    const foundAs = word.normalize("NFC").toLowerCase();
    found.set(foundAs, (found.get(foundAs) ?? 0) + weight);
  }
  return Object.fromEntries(found);
}

/** Removes a document and its keywords, in one transaction. Gives whether there was one. */
export async function removeDocument(
  cortex: Surface,
  { documents, index }: KeywordIndex,
  id: string,
): Promise<boolean> {
  const work = (tx: Transaction): boolean => {
    const words = tx.get<Record<string, number>>(index, listKey(id));
    if (words === null) return false;
    for (const word of Object.keys(words)) tx.delete(index, joinName(word, id));
    tx.delete(index, listKey(id));
    tx.delete(documents, id);
    return true;
  };
  return unwrapErrors(() => cortex.mutable.transaction(work));
}

/** A document that was found. */
export interface FoundDocument<D = any> {
  id: string;
  document: D;
  /** The sum of the weights of the words that it has. */
  score: number;
  /** How many words of the query it has. */
  matched: number;
}

/**
 * Finds documents by keywords: those with most words of the query first, then those with the highest sum of weights,
 * then by id.
 *
 * @param query Words, as `keywordsOf` finds them in a text.
 * @param options `limit`: how many documents at most, 1 to 1000. Default: 10.
 */
export async function searchIndex<D = any>(
  cortex: Surface,
  { documents, index }: KeywordIndex,
  query: string,
  { limit = 10 }: { limit?: number | undefined } = {},
): Promise<FoundDocument<D>[]> {
  if (!(Number.isInteger(limit) && limit >= 1 && limit <= 1000))
    throw refused("INVALID_LIMIT", "limit", `is not a whole number from 1 to 1000: ${limit}`);
  const found = new Map<string, { score: number; matched: number }>();
  for (const word of Object.keys(keywordsOf(query)))
    for await (const { key, value } of cortex.mutable.scan<number>(index, {
      keyPrefix: prefixName(word),
    })) {
      const id = splitName(key)[1] as string;
      const { score, matched } = found.get(id) ?? { score: 0, matched: 0 };
      found.set(id, { score: score + value, matched: matched + 1 });
    }
  const ranked = [...found].sort(
    ([idA, a], [idB, b]) =>
      b.matched - a.matched || b.score - a.score || (idA < idB ? -1 : idA > idB ? 1 : 0),
  );
  const best = ranked.slice(0, limit);
  const ids = best.map(([id]) => id);
  const values = await readMany<D>(cortex, documents, ids);
  const results: FoundDocument<D>[] = [];
  for (const [i, [id, rank]] of best.entries()) {
    const document = values[i] as D;
    // A document that is not there was removed meanwhile.
    if (document !== null || (await cortex.mutable.exists(documents, id)))
      results.push({ id, document, ...rank });
  }
  return results;
}
