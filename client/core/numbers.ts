// Reads and writes the numbers of JSON without changing them. A JavaScript number holds 15 to 17 digits, and
// JSON may have more; and JSON has several texts for one number, such as 19.90 and 19.9.

/** A number of JSON as it was written: for numbers with more digits than a JavaScript number holds. */
export class ExactNumber {
  /** @param text The number as JSON text, for example `0.1234567890123456789`. */
  constructor(readonly text: string) {
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text))
      throw new TypeError(`not a number as JSON text: ${text}`);
  }
  toString(): string {
    return this.text;
  }
  /** The nearest JavaScript number. */
  valueOf(): number {
    return Number(this.text);
  }
}

/**
 * The texts of the numbers in a value that JSON.stringify would write otherwise: the text of a number, or
 * those in an object or array by member. Undefined: there are none.
 */
export type NumberTexts = string | Map<string, NumberTexts>;

export interface ParsedJson {
  value: unknown;
  texts?: NumberTexts;
}

/**
 * How a number that does not fit in a JavaScript number is read. `bigint`: a bigint if it is an integer, else
 * the nearest number. `exact`: a bigint if it is an integer, else an ExactNumber. `text`: an ExactNumber,
 * also for a number that fits but has another text. A number that no bigint and no number can be near to
 * (1e9999) is always an ExactNumber.
 */
export type Reading = "bigint" | "exact" | "text";

// Only text with one of these can hold a number whose text JSON.stringify would change.
const suspicious = /\d{16}|\d[.eE]|-0/;
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
const mark = `${Math.random()}:`;
const digitsMax = 5000; // an integer with more is no bigint: 1e999999999 would fill the memory

/** The texts of the objects and arrays that `parse` has made. */
const textsByObject = new WeakMap<object, Map<string, NumberTexts>>();

export const textsOf = (value: object) => textsByObject.get(value);

/** Parses JSON text. */
export function parse(json: string, reading: Reading): ParsedJson {
  if (!suspicious.test(json)) return { value: JSON.parse(json) };
  let found = false;
  // JSON.parse takes these numbers as strings with a mark, so that their text is not lost.
  const marked = json.replace(tokens, (token) => {
    if (token.startsWith('"') || String(Number(token)) === token) return token;
    found = true;
    return `"${mark}${token}"`;
  });
  return found ? restored(JSON.parse(marked), reading) : { value: JSON.parse(json) };
}

/** Puts numbers in the place of the marked strings. */
function restored(value: unknown, reading: Reading): ParsedJson {
  if (typeof value === "string" && value.startsWith(mark)) {
    const text = value.slice(mark.length);
    return { value: numberOf(text, reading), texts: text };
  }
  if (typeof value !== "object" || value === null) return { value };
  const all = new Map<string, NumberTexts>();
  const members = value as Record<string, unknown>;
  for (const name of Object.keys(value)) {
    const { value: member, texts } = restored(members[name], reading);
    if (texts === undefined) continue;
    members[name] = member;
    all.set(name, texts);
  }
  if (all.size === 0) return { value };
  textsByObject.set(value, all);
  return { value, texts: all };
}

function numberOf(text: string, reading: Reading): number | bigint | ExactNumber {
  if (reading === "text") return new ExactNumber(text);
  const double = Number(text);
  const exact = decimalOf(text);
  if (Number.isFinite(double) && isSame(exact, decimalOf(String(double)))) return double;
  const { digits, exponent, sign } = exact;
  if (exponent >= 0 && digits.length + exponent <= digitsMax)
    return BigInt(sign + digits + "0".repeat(exponent));
  return reading === "exact" || !Number.isFinite(double) ? new ExactNumber(text) : double;
}

interface Decimal {
  sign: string;
  /** Without zeros at either end; empty for 0. */
  digits: string;
  /** The number is ± digits × 10 ^ exponent. */
  exponent: number;
}

function decimalOf(text: string): Decimal {
  const [, sign = "", whole = "", fraction = "", power = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const all = `${whole}${fraction}`.replace(/^0+/, "");
  const digits = withoutFinalZeros(all);
  if (digits === "") return { sign: "", digits, exponent: 0 };
  return { sign, digits, exponent: Number(power) - fraction.length + all.length - digits.length };
}

/** A loop, because the time of /0+$/ grows with the square of the zeros, of which there may be a million. */
export function withoutFinalZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}

const isSame = (a: Decimal, b: Decimal) =>
  a.sign === b.sign && a.digits === b.digits && a.exponent === b.exponent;

/** True if the number is the one that `parse` gives for the text. */
export function isNumberOf(value: unknown, text: string): boolean {
  if (value instanceof ExactNumber) return value.text === text;
  return Object.is(numberOf(text, "bigint"), value);
}
