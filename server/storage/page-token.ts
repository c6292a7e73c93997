// Page tokens, and the continue tokens of purges: the position after which a list or a purge goes on, bound to
// its query. A token says nothing that its holder could not ask for.
import { createHash } from "node:crypto";
import { CortexError } from "../errors/reasons.js";
import { isStoredText } from "../validation/scope.js";

/** Everything that decides which rows come, and in which order. */
export type Query = readonly unknown[];

const fingerprint = (query: Query) =>
  createHash("sha256").update(JSON.stringify(query)).digest("base64url").slice(0, 12);

export function pageToken(query: Query, position: readonly string[]): string {
  return Buffer.from(JSON.stringify([fingerprint(query), ...position])).toString("base64url");
}

const foreign = "is not a token this server gave";

export const invalidToken = (problem = foreign, field = "page_token") =>
  new CortexError("INVALID_PAGE_TOKEN", { field, problem });

/** The position in a token, which has `length` parts; undefined for the empty token. */
export function positionOf(
  token: string,
  query: Query,
  length: number,
  field?: string,
): string[] | undefined {
  if (token === "") return undefined;
  const parts = decode(token);
  if (
    !Array.isArray(parts) ||
    parts.length !== length + 1 ||
    !parts.every((part) => typeof part === "string" && isStoredText(part))
  )
    throw invalidToken(foreign, field);
  const [queryFingerprint, ...position] = parts as string[];
  if (queryFingerprint !== fingerprint(query))
    throw invalidToken("belongs to another query", field);
  return position;
}

function decode(token: string): unknown {
  const bytes = Buffer.from(token, "base64url");
  if (bytes.toString("base64url") !== token) return undefined;
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The first text after all those that begin with the prefix, bytewise; undefined where there is none. */
export function afterPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (char) => char.codePointAt(0) ?? 0);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10ffff) continue;
    const next = last === 0xd7ff ? 0xe000 : last + 1; // UTF-8 has no surrogates
    return String.fromCodePoint(...points, next);
  }
  return undefined;
}
