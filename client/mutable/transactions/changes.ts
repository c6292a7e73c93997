// Computes increments, appends and merges in the client, for a callback that reads a key after changing it.
// The server computes them again when the transaction commits, and stores its own result.
import { CortexError, type ErrorCode } from "../../core/error.js";
import { toJson } from "../../core/json.js";
import { ExactNumber, parse, withoutFinalZeros } from "../../core/numbers.js";
import type { OperationInit } from "./locked.js";

export type Change = Extract<
  NonNullable<OperationInit["operation"]>,
  { case: "increment" | "decrement" | "append" | "merge" }
>;

/** The value after a change, as JSON text. A missing key counts as 0, `[]` or `{}`. */
export function changed(change: Change, json: string | undefined): string {
  switch (change.case) {
    case "increment":
    case "decrement": {
      const amount = change.value.amount ?? "1";
      const number = json === undefined || json === "null" ? "0" : json; // a stored null counts as 0 too
      if (!decimal.test(number)) throw refuse("VALUE_NOT_NUMERIC", "the value is not a number");
      if (!decimal.test(amount))
        throw refuse("INVALID_AMOUNT", `amount is not a number: ${amount}`);
      return sum(number, change.case === "increment" ? amount : negated(amount));
    }
    case "append": {
      const array = parsed(json ?? "[]");
      if (!Array.isArray(array)) throw refuse("VALUE_NOT_ARRAY", "the value is not an array");
      return toJson([...array, parsed(change.value.valueJson ?? "null")]);
    }
    case "merge":
      return toJson(merged(parsed(json ?? "{}"), parsed(change.value.patchJson ?? "{}")));
  }
}

/** The value, whose numbers keep their text wherever they are moved to. */
const parsed = (json: string) => parse(json, "text").value;

const refuse = (code: ErrorCode, message: string) => new CortexError(code, message);

const decimal = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;
const negated = (text: string) =>
  text.startsWith("-") ? text.slice(1) : `-${text.replace("+", "")}`;

/** The exact sum of two decimal numbers. */
function sum(a: string, b: string): string {
  const [[x, xScale], [y, yScale]] = [scaled(a), scaled(b)];
  const scale = Math.max(xScale, yScale);
  const total = x * 10n ** BigInt(scale - xScale) + y * 10n ** BigInt(scale - yScale);
  const digits = `${total < 0n ? -total : total}`.padStart(scale + 1, "0");
  const fraction = withoutFinalZeros(digits.slice(digits.length - scale));
  const whole = digits.slice(0, digits.length - scale);
  return `${total < 0n ? "-" : ""}${whole}${scale > 0 && fraction ? `.${fraction}` : ""}`;
}

/** Splits a decimal number: its digits as a whole number, and how many of them stand after the point. */
function scaled(text: string): [digits: bigint, scale: number] {
  const [, sign, whole = "0", fraction = "", exponent = "0"] = decimal.exec(text) ?? [];
  const digits = BigInt(`${whole}${fraction}`) * (sign === "-" ? -1n : 1n);
  const scale = fraction.length - Number(exponent);
  return scale >= 0 ? [digits, scale] : [digits * 10n ** BigInt(-scale), 0];
}

/** JSON merge patch (RFC 7396). */
function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch))
    if (value === null) result.delete(name);
    else result.set(name, merged(result.get(name), value));
  return Object.fromEntries(result);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof ExactNumber);
