// JSON whose numbers keep the text in which they were written. JSON.parse makes doubles of them, which hold
// 15 to 17 digits.

/** A number that JavaScript would write otherwise, such as 19.90 or 653247040368672769. */
export class NumberText {
  constructor(readonly text: string) {}
}

// Only text with one of these can hold such a number.
const suspicious = /\d{16}|\d[.eE]|-0/;
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
const mark = `${Math.random()}:`;

/** Parses JSON text. `parsed` is what JSON.parse gives for it. */
export function parseExactly(json: string, parsed?: unknown): unknown {
  const plain = () => parsed ?? JSON.parse(json);
  if (!suspicious.test(json)) return plain();
  let found = false;
  // JSON.parse takes these numbers as strings with a mark.
  const marked = json.replace(tokens, (token) => {
    if (token.startsWith('"') || String(Number(token)) === token) return token;
    found = true;
    return `"${mark}${token}"`;
  });
  if (!found) return plain();
  return JSON.parse(marked, (_, value) =>
    typeof value === "string" && value.startsWith(mark)
      ? new NumberText(value.slice(mark.length))
      : value,
  );
}

/** A number, if a double holds it; else its digits and a power of ten, which are the same for equal numbers. */
export function canonicalNumber(text: string): number | string {
  const double = Number(text);
  const exact = decimalOf(text);
  return Number.isFinite(double) && decimalOf(String(double)) === exact ? double : exact;
}

/** The sign, the digits without zeros at either end, and the power of ten. */
function decimalOf(text: string): string {
  const [, sign, whole = "", fraction = "", power = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const all = `${whole}${fraction}`.replace(/^0+/, "");
  let end = all.length;
  while (all[end - 1] === "0") end--; // the time of /0+$/ would grow with the square of the zeros
  const digits = all.slice(0, end);
  if (digits === "") return "0e0";
  // A power can be too long for a number, too.
  const exponent = BigInt(power) - BigInt(fraction.length) + BigInt(all.length - digits.length);
  return `${sign}${digits}e${exponent}`;
}
