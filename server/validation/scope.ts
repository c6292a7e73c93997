// Scopes in names. A name in a scope is stored behind the path of the scope, which begins and ends with a control
// character; no name of a caller can hold one. So names in scopes sort before all others, and a prefix of the text is a
// prefix of the path.
import { CortexError, type Details } from "../errors/reasons.js";
import { control } from "./control.js";

export interface ScopeStep {
  key: string;
  identifier: string;
}

const mark = "\u0001";
const separator = "\u0002";
const pathBytesMax = 512;

/** Names in no scope are at or above this. */
export const firstName = " ";

/** The path as it stands before names; "" for none. */
export function pathOf(steps: readonly ScopeStep[], field = "scope"): string {
  if (steps.length === 0) return "";
  const parts = steps.flatMap(({ key, identifier }, i) => [
    part(key, `${field}[${i}].key`),
    part(identifier, `${field}[${i}].identifier`),
  ]);
  const text = `${mark}${parts.join(separator)}${mark}`;
  const bytes = Buffer.byteLength(text);
  if (bytes <= pathBytesMax) return text;
  const details = { limit: `${pathBytesMax} bytes of UTF-8`, got: `${bytes}` };
  throw new CortexError("INVALID_SCOPE", { field, problem: "is too long", ...details });
}

function part(text: string, field: string): string {
  const refuse = (problem: string, details: Details = {}) =>
    new CortexError("INVALID_SCOPE", { field, problem, ...details });
  if (text === "") throw refuse("is empty");
  if (control.test(text)) throw refuse("holds a control character");
  if (text.trim() === "") throw refuse("is blank");
  return text;
}

/** A name as the caller sent it, in a scope. What looks as if it were in one already will be refused as a name. */
export const inScope = (scope: string, name: string): string =>
  scope + (name.startsWith(mark) ? `\0${name}` : name);

/** The path of the scope of a name, as it stands before it; "" for none. */
export const scopeOf = (name: string): string =>
  name.startsWith(mark) ? name.slice(0, name.indexOf(mark, 1) + 1) : "";

/** The name within its scope. */
export const ownName = (name: string): string => name.slice(scopeOf(name).length);

/** True if a text may be a name: it has no control characters, but those of the path of a scope. */
export const isStoredText = (text: string): boolean => {
  const scope = scopeOf(text);
  const parts = scope === "" ? [] : scope.slice(1, -1).split(separator);
  return [...parts, text.slice(scope.length)].every(
    (part) => !control.test(part) && part.isWellFormed(),
  );
};

/** What the names of the scopes in a scope begin with. */
export const belowScope = (scope: string): string =>
  scope === "" ? mark : scope.slice(0, -1) + separator;

/** The first text after all names in a scope, and below it; of none: after all names in scopes. */
export const pastScope = (scope: string): string =>
  scope === "" ? separator : `${scope.slice(0, -1)}\u0003`;

/** The first text after all names in the scope of this step, and below it; `below` is what its names begin with. */
export const pastChild = (below: string, { key, identifier }: ScopeStep): string =>
  `${below}${key}${separator}${identifier}\u0003`;

/** True if the path of a scope begins with that of another. */
export const isWithin = (scope: string, outer: string): boolean =>
  scope === outer || scope.startsWith(outer.slice(0, -1) + separator);

/** The steps of a path, each as a pair. */
export function stepsOf(scope: string): [key: string, identifier: string][] {
  const parts = scope.slice(1, -1).split(separator);
  return parts.flatMap((key, i) =>
    i % 2 === 0 ? [[key, parts[i + 1] ?? ""] as [string, string]] : [],
  );
}
