// The full names of a store's keys: <prefix>:<service>[:<scope>:<identifier>…]:<space>:<key>.
import type { ScopeStep } from "../core/call-options.js";

/** What a name is of. */
export type Space = "kv" | "counter" | "claim" | "events" | "streams";

export const spaces: readonly Space[] = ["kv", "counter", "claim", "events", "streams"];

const prefix = "igniter:store";

/** The name of a key. */
export function fullName(
  service: string,
  path: readonly ScopeStep[],
  space: Space,
  key: string,
): string {
  return `${placeName(service, path, space)}:${key}`;
}

/** What all names of a space begin with. */
export function placeName(service: string, path: readonly ScopeStep[], space: Space): string {
  const steps = path.flatMap(({ key, identifier }) => [encoded(key), encoded(identifier)]);
  return [prefix, encoded(service), ...steps, space].join(":");
}

/**
 * A part of a name: `:` is written as `%3A`, so that two paths never have one name, and `*` as `%2A`, so that it is no
 * wildcard.
 */
const encoded = (part: string): string =>
  part.replace(/[%:*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
