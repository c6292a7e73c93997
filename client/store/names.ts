// The full names of a store's keys: <prefix>:<service>[:<scope>:<identifier>…]:<space>:<key>.
import type { ScopeStep } from "../core/call-options.js";

/** What a name is of. */
export type Space = "kv" | "counter" | "claim" | "events" | "streams";

export const spaces: readonly Space[] = ["kv", "counter", "claim", "events", "streams"];

const prefix = "igniter:store";

/** A name within a path. Without a path: the name of a space and a key in a service. */
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

/** A part of a name, in which `:` is written as `%3A`: otherwise two paths could have one name. */
const encoded = (part: string): string => part.replaceAll("%", "%25").replaceAll(":", "%3A");
