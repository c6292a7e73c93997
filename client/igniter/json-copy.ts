// Values as JSON.stringify writes them, which is what programs written for Redis expect.
import { CortexError, messageOf } from "../core/error.js";

/** A copy of a value by way of JSON. Throws INVALID_VALUE if there is none: a circle, a bigint, a function, undefined. */
export function jsonCopy(value: unknown, field = "value"): unknown {
  let problem = `is ${typeof value}, which JSON cannot hold`;
  try {
    const text = JSON.stringify(value);
    if (text !== undefined) return JSON.parse(text);
  } catch (error) {
    problem = `cannot be turned into JSON: ${messageOf(error)}`;
  }
  throw new CortexError("INVALID_VALUE", `${field} ${problem}`, { path: field, problem });
}
