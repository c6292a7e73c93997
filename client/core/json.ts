// Converts values to JSON text and back. Throws if the text would silently drop or change a part of the
// value; the error has the path to that part.
import { isDeepStrictEqual } from "node:util";
import { CortexError } from "./error.js";
import {
  ExactNumber,
  isNumberOf,
  type NumberTexts,
  type ParsedJson,
  parse,
  textsOf,
} from "./numbers.js";

const depthMax = 1000; // the server's limit

/** How a client reads JSON, and what it remembers for writing it. */
export class Json {
  readonly #known = new KnownTexts();

  /** With `exactNumbers`, a number that does not fit in a JavaScript number is read as an ExactNumber. */
  constructor(readonly exactNumbers: boolean) {}

  /**
   * Parses JSON text. `name` is where it is stored: a value that is later written there keeps the texts of
   * equal numbers.
   */
  parse<T>(text: string, name?: string): T {
    const { value, texts } = this.read(text);
    if (name !== undefined) this.#known.note(name, texts);
    return value as T;
  }

  /** Parses JSON text. Gives the texts of its numbers too. */
  read(text: string): ParsedJson {
    return parse(text, this.exactNumbers ? "exact" : "bigint");
  }

  /** The texts of the numbers that were last read from the place. */
  textsAt(name: string): NumberTexts | undefined {
    return this.#known.get(name);
  }
}

const namesMax = 1000;
const textsMax = 100_000;

/** The texts of the values that were read last, within bounds. */
class KnownTexts {
  readonly #byName = new Map<string, { texts: NumberTexts; count: number }>();
  #count = 0;

  get(name: string): NumberTexts | undefined {
    return this.#byName.get(name)?.texts;
  }

  note(name: string, texts: NumberTexts | undefined): void {
    if (texts === undefined && this.#byName.size === 0) return;
    this.#drop(name);
    if (texts === undefined) return;
    const count = countOf(texts);
    this.#byName.set(name, { texts, count });
    this.#count += count;
    for (const oldest of this.#byName.keys()) {
      if (this.#byName.size <= namesMax && this.#count <= textsMax) break;
      this.#drop(oldest);
    }
  }

  #drop(name: string): void {
    this.#count -= this.#byName.get(name)?.count ?? 0;
    this.#byName.delete(name);
  }
}

function countOf(texts: NumberTexts): number {
  if (typeof texts === "string") return 1;
  let count = 1;
  for (const member of texts.values()) count += countOf(member);
  return count;
}

/**
 * The value as JSON text. A `Date` becomes its ISO string, as with JSON.stringify. A bigint becomes its
 * digits. A number that was read from JSON keeps its text if it is still under the same member of the same
 * object, or at the same place in `before`, the numbers of the value that this one replaces.
 */
export function toJson(value: unknown, field = "value", before?: NumberTexts): string {
  const plain = check(value, field, 1, new Set());
  return plain && before === undefined ? JSON.stringify(value) : write(value, "", before);
}

/** Writes a value that was checked. `name` is its member name, which JSON.stringify gives to toJSON. */
function write(given: unknown, name: string, before: NumberTexts | undefined): string {
  let value = hasToJson(given) ? given.toJSON(name) : given;
  if (isBox(value)) value = value.valueOf();
  if (value instanceof ExactNumber) return value.text;
  if (typeof value === "number" || typeof value === "bigint") {
    if (typeof before === "string" && isNumberOf(value, before)) return before;
    return typeof value === "bigint" ? String(value) : JSON.stringify(value);
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const texts = textsOf(value) ?? (typeof before === "object" ? before : undefined);
  const member = ([key, one]: [string, unknown]) => write(one, key, texts?.get(key));
  if (Array.isArray(value)) return `[${value.map((one, i) => member([String(i), one])).join(",")}]`;
  return `{${Object.entries(value)
    .map((entry) => `${JSON.stringify(entry[0])}:${member(entry)}`)
    .join(",")}}`;
}

const hasToJson = (value: unknown): value is { toJSON(name?: string): unknown } =>
  typeof value === "object" &&
  value !== null &&
  "toJSON" in value &&
  typeof value.toJSON === "function";

const isBox = (value: unknown): value is object =>
  value instanceof Number || value instanceof String || value instanceof Boolean;

/** An object as JSON text: metadata, a profile. */
export function objectToJson(
  value: unknown,
  field: string,
  code: "INVALID_METADATA" | "INVALID_DATA" | "INVALID_FILTER" = "INVALID_METADATA",
  before?: NumberTexts,
): string {
  const refuse = (problem: string) =>
    new CortexError(code, `${field} ${problem}`, { field, problem });
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refuse("is not an object");
  let json: string;
  try {
    json = toJson(value, field, before);
  } catch (error) {
    if (!(error instanceof CortexError) || error.code !== "INVALID_VALUE") throw error;
    throw new CortexError(code, error.message, { ...error.details, field });
  }
  if (!json.startsWith("{")) throw refuse("does not become an object as JSON");
  return json;
}

/** Throws if JSON cannot hold the value. Gives false if JSON.stringify would not write it as `write` does. */
function check(given: unknown, path: string, depth: number, above: Set<object>): boolean {
  const value = isBox(given) ? given.valueOf() : given; // as JSON.stringify does
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      if (!Number.isFinite(value)) refuse(path, `is ${value}`);
      return true;
    case "bigint":
      return false;
    case "object":
      return value === null || checkObject(value, path, depth, above);
    default:
      return refuse(path, value === undefined ? "is undefined" : `is a ${typeof value}`);
  }
}

function checkObject(value: object, path: string, depth: number, above: Set<object>): boolean {
  if (value instanceof ExactNumber) return false;
  if (above.has(value)) refuse(path, "is a cycle: it holds itself");
  if (hasToJson(value)) {
    if (value instanceof Date && Number.isNaN(value.getTime())) refuse(path, "is an invalid Date");
    // A toJSON can return a new object with a toJSON, without end. The check for cycles does not see that.
    if (depth > depthMax + 1) tooDeep(path, depth);
    above.add(value);
    const plain = check(toJsonOf(value, path), path, depth + 1, above);
    above.delete(value);
    return plain;
  }
  const isArray = Array.isArray(value);
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (!isArray && kind !== "Object") refuse(path, `is a ${kind}, which JSON cannot hold`);
  if (depth > depthMax) tooDeep(path, depth);
  above.add(value);
  let plain = textsOf(value) === undefined;
  if (isArray)
    for (let i = 0; i < value.length; i++)
      plain = check(value[i], `${path}[${i}]`, depth + 1, above) && plain;
  else
    for (const [key, member] of Object.entries(value)) {
      const at = /^[\w$]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
      plain = check(member, at, depth + 1, above) && plain;
    }
  above.delete(value);
  return plain;
}

function toJsonOf(value: object, path: string): unknown {
  try {
    return (value as { toJSON(): unknown }).toJSON();
  } catch (error) {
    refuse(path, `cannot be turned into JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function tooDeep(path: string, depth: number): never {
  const field = path.split(/[.[]/, 1)[0] ?? "value";
  const details = { field, limit: `${depthMax}`, got: `${depth}` };
  throw new CortexError("VALUE_TOO_DEEP", `${field} nests deeper than ${depthMax}`, details);
}

function refuse(path: string, problem: string): never {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  throw new CortexError("INVALID_VALUE", `${shown} ${problem}`, { path: shown, problem });
}

const exact = new Json(true);

/** True if both values are the same JSON, also in digits that a JavaScript number does not hold. */
export const isSameJson = (a: unknown, b: unknown): boolean =>
  isDeepStrictEqual(exact.parse(toJson(a)), exact.parse(toJson(b)));
