// Converts values to JSON text. Throws if JSON.stringify would silently drop or change a value; the error has
// the path to that value.
import { CortexError } from "./error.js";

const depthMax = 1000; // the server's limit

/** The value as JSON text. A `Date` becomes its ISO string, as with JSON.stringify. */
export function toJson(value: unknown, field = "value"): string {
  check(value, field, 1, new Set());
  return JSON.stringify(value);
}

/** An object as JSON text: metadata, a profile. */
export function objectToJson(
  value: unknown,
  field: string,
  code: "INVALID_METADATA" | "INVALID_DATA" | "INVALID_FILTER" = "INVALID_METADATA",
): string {
  const refuse = (problem: string) =>
    new CortexError(code, `${field} ${problem}`, { field, problem });
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refuse("is not an object");
  let json: string;
  try {
    json = toJson(value, field);
  } catch (error) {
    if (!(error instanceof CortexError) || error.code !== "INVALID_VALUE") throw error;
    throw new CortexError(code, error.message, { ...error.details, field });
  }
  if (!json.startsWith("{")) throw refuse("does not become an object as JSON");
  return json;
}

function check(value: unknown, path: string, depth: number, above: Set<object>): void {
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    value = value.valueOf(); // as JSON.stringify does
  switch (typeof value) {
    case "string":
    case "boolean":
      return;
    case "number":
      if (!Number.isFinite(value)) refuse(path, `is ${value}`);
      return;
    case "undefined":
    case "function":
    case "symbol":
    case "bigint":
      refuse(path, value === undefined ? "is undefined" : `is a ${typeof value}`);
      break;
    case "object":
      if (value !== null) checkObject(value, path, depth, above);
      return;
  }
}

function checkObject(value: object, path: string, depth: number, above: Set<object>): void {
  if (above.has(value)) refuse(path, "is a cycle: it holds itself");
  if ("toJSON" in value && typeof value.toJSON === "function") {
    if (value instanceof Date && Number.isNaN(value.getTime())) refuse(path, "is an invalid Date");
    // A toJSON can return a new object with a toJSON, without end. The check for cycles does not see that.
    if (depth > depthMax + 1) tooDeep(path, depth);
    above.add(value);
    check(toJsonOf(value, path), path, depth + 1, above);
    above.delete(value);
    return;
  }
  const isArray = Array.isArray(value);
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (!isArray && kind !== "Object") refuse(path, `is a ${kind}, which JSON cannot hold`);
  if (depth > depthMax) tooDeep(path, depth);
  above.add(value);
  if (isArray)
    for (let i = 0; i < value.length; i++) check(value[i], `${path}[${i}]`, depth + 1, above);
  else
    for (const [key, member] of Object.entries(value))
      check(
        member,
        /^[\w$]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`,
        depth + 1,
        above,
      );
  above.delete(value);
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
