// Exact decimal arithmetic for running statistics.

/** digits / 10 ^ scale. */
export interface Decimal {
  digits: bigint;
  scale: number;
}

const exponentMax = 1000; // a larger exponent would need too much memory

/** The number of a decimal text; undefined if it is none. */
export function decimalOf(text: string): Decimal | undefined {
  const match = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,5}))?$/.exec(text);
  if (!match) return undefined;
  const [, sign = "", whole = "", fraction = "", power = "0"] = match;
  const exponent = Number(power);
  if (Math.abs(exponent) > exponentMax) return undefined;
  const digits = BigInt(`${whole}${fraction}`) * (sign === "-" ? -1n : 1n);
  const scale = fraction.length - exponent;
  return reduced(
    scale >= 0 ? { digits, scale } : { digits: digits * 10n ** BigInt(-scale), scale: 0 },
  );
}

/** Without zeros at the end of the fraction, so that long sums stay short. */
function reduced({ digits, scale }: Decimal): Decimal {
  let [rest, left] = [digits, scale];
  while (left > 0 && rest % 10n === 0n) {
    rest /= 10n;
    left--;
  }
  return { digits: rest, scale: left };
}

const at = ({ digits, scale }: Decimal, to: number): bigint => digits * 10n ** BigInt(to - scale);

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return reduced({ digits: at(a, scale) + at(b, scale), scale });
}

export const multiply = (a: Decimal, b: Decimal): Decimal =>
  reduced({ digits: a.digits * b.digits, scale: a.scale + b.scale });

/** Below 0 if a is lower than b, above 0 if it is higher. */
export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const difference = at(a, scale) - at(b, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The nearest JavaScript number of a / b. */
export function ratio(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const [above, below] = [at(a, scale), at(b, scale)];
  // 25 digits: more than the 17 of a JavaScript number.
  const magnitude = `${above < 0n ? -above : above}`.length - `${below}`.length;
  const shift = Math.max(25 - magnitude, 0);
  return Number(`${(above * 10n ** BigInt(shift)) / below}e-${shift}`);
}

export function textOf({ digits, scale }: Decimal): string {
  const text = `${digits < 0n ? -digits : digits}`.padStart(scale + 1, "0");
  const whole = text.slice(0, text.length - scale);
  const fraction = scale > 0 ? `.${text.slice(text.length - scale)}` : "";
  return `${digits < 0n ? "-" : ""}${whole}${fraction}`;
}
