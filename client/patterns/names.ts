// Names that have several parts, joined by `:`: keys in a hierarchy, and names of namespaces.
import { refused } from "../core/error.js";
import { text } from "../core/validate.js";
import type { Surface } from "../scopes/scope.js";

/**
 * Joins parts to a name: `joinName("project", id, "files", "main.py")` is `project:<id>:files:main.py`. A `:` within
 * a part is written as `%3A`, and `%` as `%25`, so that different parts never make the same name.
 *
 * @throws CortexError INVALID_KEY if a part is empty or no text.
 */
export function joinName(...parts: readonly string[]): string {
  if (parts.length === 0) throw refused("INVALID_KEY", "parts", "is empty: give at least one part");
  return parts.map(encoded).join(":");
}

/** The prefix of every name below these parts: the parts, joined, and a `:`. */
export const prefixName = (...parts: readonly string[]): string => `${joinName(...parts)}:`;

/** The parts of a name that `joinName` made. */
export const splitName = (name: string): string[] =>
  name.split(":").map((part) => part.replace(/%3A/g, ":").replace(/%25/g, "%"));

function encoded(part: string, index: number): string {
  if (text(part, `parts[${index}]`, "INVALID_KEY") === "")
    throw refused("INVALID_KEY", `parts[${index}]`, "is empty");
  return part.replace(/%/g, "%25").replace(/:/g, "%3A");
}

/**
 * Lists the parts that come directly after the given parts, in order and each once. For example: with the keys
 * `project:7:files:a` and `project:7:status`, the parts after `project`, `7` are `files` and `status`.
 */
export async function childNames(
  cortex: Surface,
  namespace: string,
  ...parts: readonly string[]
): Promise<string[]> {
  const prefix = parts.length === 0 ? "" : prefixName(...parts);
  const found = new Set<string>();
  const filter = prefix === "" ? {} : { keyPrefix: prefix };
  for await (const { key } of cortex.mutable.scan(namespace, filter))
    found.add(splitName(key.slice(prefix.length))[0] as string);
  return [...found];
}

/** A namespace, with its first keys. */
export interface NamespaceOverview {
  namespace: string;
  /** How many keys it has. */
  keyCount: number;
  /** The first of them, in bytewise order. */
  keys: string[];
}

/**
 * The namespaces that begin with a prefix and hold at least one key, by name.
 *
 * @param options `sample`: how many keys of each, 0 to 1000. Default: 5.
 */
export async function discoverNamespaces(
  cortex: Surface,
  prefix: string,
  { sample = 5 }: { sample?: number | undefined } = {},
): Promise<NamespaceOverview[]> {
  const found: NamespaceOverview[] = [];
  for (const { namespace, keys: keyCount } of await cortex.mutable.listNamespaces(
    prefix === "" ? {} : { prefix },
  )) {
    const page =
      sample === 0
        ? { records: [] }
        : await cortex.mutable.list(namespace, { limit: sample, total: false });
    found.push({ namespace, keyCount, keys: page.records.map(({ key }) => key) });
  }
  return found;
}
