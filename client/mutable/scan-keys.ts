// Finds the keys of a namespace that match a glob pattern, page by page.
import { refused } from "../core/error.js";
import { glob } from "../core/glob.js";
import { text } from "../core/validate.js";
import type { Mutable } from "./mutable.js";
import type { MutableListResult } from "./options.js";

const pagesMax = 10;

/** A page of keys. The cursor of the first page is `"0"`; `"0"` as the next cursor says that there is no more. */
export interface KeyPage {
  keys: string[];
  cursor: string;
}

/**
 * A page has about `count` keys; it may have fewer, or none, although there are more. The pages together have each key
 * that is there from the first page to the last exactly once.
 */
export async function scanKeys(
  mutable: Mutable,
  namespace: string,
  pattern: string,
  { cursor = "0", count = 10 }: { cursor?: string | undefined; count?: number | undefined },
): Promise<KeyPage> {
  if (text(pattern, "pattern", "INVALID_FILTER") === "")
    throw refused("INVALID_FILTER", "pattern", "is empty");
  const { prefix, matches } = glob(pattern);
  const keys: string[] = [];
  let pageToken = cursor === "0" ? undefined : cursor;
  for (let pages = 0; pages < pagesMax && keys.length === 0; pages++) {
    const page: Omit<MutableListResult, "total"> = await mutable.list(namespace, {
      ...(prefix !== "" && { keyPrefix: prefix }),
      limit: count,
      pageToken,
      total: false,
    });
    keys.push(...page.records.map(({ key }) => key).filter(matches));
    pageToken = page.nextPageToken;
    if (pageToken === undefined) break;
  }
  return { keys, cursor: pageToken ?? "0" };
}
