// Checks the JSON text of a request. The text is stored as it was sent, so nothing here changes it.
import { CortexError, type Details } from "../errors/reasons.js";

export const metadataBytesMax = 64 * 1024;
export const valueDepthMax = 1000;

/** Checks the data of a version, a JSON object. Gives it parsed. */
export function data(text: string, field: string, bytesMax: number): Record<string, unknown> {
  const refuse = (problem: string) => new CortexError("INVALID_DATA", { field, problem });
  const bytes = Buffer.byteLength(text);
  if (bytes > bytesMax)
    throw new CortexError("DATA_TOO_LARGE", { field, limit: `${bytesMax}`, got: `${bytes}` });
  const object = objectIn(text, refuse);
  const depth = text.length > valueDepthMax ? depthOf(text) : 0;
  if (depth > valueDepthMax)
    throw new CortexError("VALUE_TOO_DEEP", { field, limit: `${valueDepthMax}`, got: `${depth}` });
  return object;
}

/**
 * Checks the metadata of a version, in which `importance` and `tags` have a fixed meaning. Gives it parsed.
 */
export function recordMetadata(text: string, field: string): Record<string, unknown> {
  const object = parsedObject(text, field);
  const { importance, tags } = object;
  const refuse = (name: string, problem: string) =>
    new CortexError("INVALID_METADATA", { field: `${field}: ${name}`, problem });
  if (
    importance !== undefined &&
    !(typeof importance === "number" && importance >= 0 && importance <= 100)
  )
    throw refuse("importance", "is not a number from 0 to 100");
  if (tags !== undefined && !(Array.isArray(tags) && tags.every((tag) => typeof tag === "string")))
    throw refuse("tags", "is not a list of texts");
  return object;
}

/** Checks the JSON text of any value. Gives the text. */
export function json(
  text: string,
  field: string,
  bytesMax: number,
  depthMax = valueDepthMax,
): string {
  const bytes = Buffer.byteLength(text);
  if (bytes > bytesMax)
    throw new CortexError("VALUE_TOO_LARGE", { field, limit: `${bytesMax}`, got: `${bytes}` });
  try {
    JSON.parse(text);
  } catch (error) {
    // The parser's message quotes the value, so only the position is taken from it.
    const position = /position (\d+)/.exec(String(error))?.[1];
    const problem = `is ${text === "" ? "empty, " : ""}not JSON${position ? ` (at character ${position})` : ""}`;
    throw new CortexError("INVALID_VALUE", { field, problem });
  }
  const depth = text.length > depthMax ? depthOf(text) : 0; // shorter text cannot nest that deep
  if (depth > depthMax)
    throw new CortexError("VALUE_TOO_DEEP", { field, limit: `${depthMax}`, got: `${depth}` });
  return text;
}

/** How deep arrays and objects nest in valid JSON text. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) {
      while (text.charCodeAt(++i) !== 0x22) if (text.charCodeAt(i) === 0x5c) i++; // to the closing quote
    } else if (c === 0x5b || c === 0x7b) {
      if (++depth > deepest) deepest = depth;
    } else if (c === 0x5d || c === 0x7d) depth--;
  }
  return deepest;
}

/** Checks a JSON object: the metadata of an entry, the profile of a user. Gives the text. */
export function jsonObject(text: string, field: string): string {
  parsedObject(text, field);
  return text;
}

function parsedObject(text: string, field: string): Record<string, unknown> {
  const refuse = (problem: string, details: Details = {}) =>
    new CortexError("INVALID_METADATA", { field, problem, ...details });
  const bytes = Buffer.byteLength(text);
  if (bytes > metadataBytesMax)
    throw refuse("is too large", { limit: `${metadataBytesMax} bytes of UTF-8`, got: `${bytes}` });
  const object = objectIn(text, refuse);
  const depth = text.length > valueDepthMax ? depthOf(text) : 0;
  if (depth > valueDepthMax)
    throw refuse("nests too deep", { limit: `${valueDepthMax}`, got: `${depth}` });
  return object;
}

function objectIn(text: string, refuse: (problem: string) => CortexError): Record<string, unknown> {
  if (!/^[ \t\n\r]*\{/.test(text)) throw refuse("is not a JSON object");
  try {
    return JSON.parse(text);
  } catch {
    throw refuse("is not JSON");
  }
}
