// Texts by class, from a seed: JSON that must be taken, JSON that must be refused, and odd strings.
import { random } from "./linearize.js";

/** Chooses by a seed. */
export function chooser(seed: number) {
  const next = random(seed);
  const below = (n: number) => Math.floor(next() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  return { below, pick };
}

type Chooser = ReturnType<typeof chooser>;

const numbers = [
  ["0", "-0", "1", "-1", "10", "1234567890"],
  ["9007199254740993", "653247040368672769", "-9223372036854775808", "18446744073709551616"],
  ["0.1", "-0.5", "19.90", "1.0", "0.10000000000000000555", "3.141592653589793238462643383279"],
  ["1e3", "1E3", "1e+3", "1E-3", "-1.5e300", "1e400", "-1e-400", "0e0", "0.0e-9"],
  ["123456789012345678901234567890", `1${"0".repeat(300)}`, `0.${"0".repeat(300)}1`],
] as const;

/** Odd strings by class. */
const oddTexts = {
  empty: ["", " ", "\t", "\n", "\u00a0", "\u3000"],
  plain: [
    "a",
    "refund",
    "the",
    "null",
    "true",
    "undefined",
    "NaN",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
  ],
  controls: ["\0", "a\0b", "\u0001", "\u001f", "\u007f", "\u0085", "\r\n", "\u2028", "\u2029"],
  surrogates: [
    "\ud800",
    "\udc00",
    "a\ud83d",
    "\ude00b",
    "\ud83d\ude00",
    "\ufffd",
    "\ufffe",
    "\uffff",
  ],
  invisible: [
    "\u200b",
    "a\u200bb",
    "\u00ad",
    "re\u00adfund",
    "\ufeffa",
    "\u200e\u200f",
    "\u202e abc",
    "\u2066x\u2069",
    "\u{e0001}",
  ],
  letters: [
    "é",
    "e\u0301",
    "Straße",
    "STRASSE",
    "İstanbul",
    "ΟΔΥΣΣΕΥΣ",
    "ﬃ",
    "Ǆ",
    "ŉ",
    "K’Thriss",
    "ꭰ",
    "ᏸ",
  ],
  scripts: [
    "日本語",
    "한국어",
    "한국어".normalize("NFD"),
    "สวัสดี",
    "हिन्दी",
    "العربية",
    "עברית",
    "ქართული",
    "አማርኛ",
    "မြန်မာ",
  ],
  emoji: ["😀", "👨‍👩‍👧", "🏳️‍🌈", "🇩🇪", "1️⃣", "👍🏽"],
  signs: [
    "'",
    '"',
    "\\",
    "`",
    "$100",
    "50%",
    "a_b",
    "c++",
    "a:b",
    "<>",
    "&amp;",
    "|",
    "!",
    "(",
    "*",
    "~",
    "''",
    "\\\\",
    "--",
    "/*",
    ";",
    "{}",
    "[]",
    "$1",
    "$" + "{x}",
    "%s",
    "\\u0000",
  ],
  code: [
    "'; drop table mutable; --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "$" + "{jndi:ldap://x}",
    "{{7*7}}",
    "a & b | !c",
    "word:*",
    "<->",
  ],
  numbers: [
    "0",
    "-1",
    "1e400",
    "0x1F",
    "٣",
    "½",
    "²",
    "１２",
    "1,000.50",
    "+1",
    "1_000",
    "Infinity",
  ],
  long: ["x".repeat(250), "ß".repeat(120), "😀".repeat(60), `e${"\u0301".repeat(100)}`],
} as const;

export const oddClasses = Object.keys(oddTexts) as (keyof typeof oddTexts)[];

/** All odd strings, and some that join two of them. */
export function oddStrings(seed: number, joined: number): string[] {
  const { pick } = chooser(seed);
  const all: string[] = Object.values(oddTexts).flat();
  return [
    ...all,
    ...Array.from({ length: joined }, () => pick(all) + pick(["", " ", "-"]) + pick(all)),
  ];
}

const escapes = [
  "\\u0000",
  "\\ud800",
  "\\udc00x",
  "\\u00e9",
  "\\/",
  "\\b\\f\\n\\r\\t",
  '\\"',
  "\\\\",
  "\\ud83d\\ude00",
  "\\uFFFD",
];

function jsonString({ pick, below }: Chooser): string {
  if (below(3) === 0) return `"${pick(escapes)}${below(2) ? pick(escapes) : ""}"`;
  return JSON.stringify(pick(Object.values(oddTexts).flat() as string[]).toWellFormed());
}

/** JSON text that must be taken, with odd spaces, numbers, escapes and repeated names. */
export function validJson(choose: Chooser, depth = 3): string {
  const { pick, below } = choose;
  const space = () => pick(["", "", "", " ", "\n", "\t", "\r\n "]);
  const kind = below(depth > 0 ? 6 : 4);
  const items = () =>
    Array.from({ length: below(4) }, () => `${space()}${validJson(choose, depth - 1)}${space()}`);
  switch (kind) {
    case 0:
      return pick(pick(numbers));
    case 1:
    case 2:
      return jsonString(choose);
    case 3:
      return pick(["true", "false", "null"]);
    case 4:
      return `[${items().join(",") || space()}]`;
    default: {
      const members = items().map((item) => `${space()}${jsonString(choose)}${space()}:${item}`);
      return `{${members.join(",") || space()}}`;
    }
  }
}

/** JSON text with one fault, which must be refused. */
export function invalidJson(choose: Chooser): string {
  const { pick, below } = choose;
  for (;;) {
    const text = validJson(choose);
    const at = below(text.length + 1);
    const broken = pick([
      text.slice(0, at),
      text.slice(0, at) +
        pick([
          ",",
          "]",
          "}",
          '"',
          "'",
          "\\",
          "\u0001",
          "0",
          "-",
          "+",
          ".",
          "e",
          "/",
          "#",
          "\ufeff",
          "\u00a0",
        ]) +
        text.slice(at),
      text + pick([",", "x", " 1", "]", "//"]),
      pick([
        "",
        " ",
        "01",
        "-",
        ".5",
        "5.",
        "1e",
        "+1",
        "NaN",
        "Infinity",
        "undefined",
        "'a'",
        "{a:1}",
        '{"a":1,}',
        "[1,]",
        '"\\x"',
        '"\\u12"',
        '"\n"',
        "0x10",
        "\ufeff1",
      ]),
    ]);
    try {
      JSON.parse(broken);
    } catch {
      return broken;
    }
  }
}
