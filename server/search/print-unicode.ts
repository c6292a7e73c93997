// Prints unicode-data.ts: `npm run unicode`.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { kinds } from "./kinds.js";

const version = "15.1.0";

const data = `@unicode/unicode-${version}`;
const require = createRequire(import.meta.url);

/** The code points that have the property, for example `Word_Break/Format`. */
async function having(property: string): Promise<number[]> {
  const { default: codePoints } = await import(`${data}/${property}/code-points.mjs`);
  return codePoints;
}

async function havingAny(...properties: string[]): Promise<Set<number>> {
  return new Set((await Promise.all(properties.map(having))).flat());
}

/** The kind of each code point. Where several apply, the last one counts. */
async function kindsOfAll(): Promise<Uint8Array> {
  const found = new Uint8Array(0x110000).fill(kinds.sign);
  const are = (kind: number, codePoints: Iterable<number>) => {
    for (const codePoint of codePoints) found[codePoint] = kind;
  };
  const letters = await havingAny("General_Category/Letter", "General_Category/Number");
  const inWords = await havingAny(
    "Word_Break/ALetter",
    "Word_Break/Hebrew_Letter",
    "Word_Break/Numeric",
  );
  // Scripts whose words UAX 29 does not know, and those that trigrams do not serve: their words are short.
  const unspaced = await havingAny(
    ...["Han", "Hiragana", "Katakana", "Hangul", "Thai", "Lao", "Khmer", "Myanmar", "Bopomofo"].map(
      (script) => `Script/${script}`,
    ),
    "Word_Break/Katakana",
  );
  are(kinds.letter, inWords);
  are(
    kinds.unspaced,
    [...letters].filter((letter) => !inWords.has(letter)),
  );
  are(kinds.unspaced, unspaced);
  are(kinds.mark, await havingAny("General_Category/Mark", "Word_Break/Format"));
  are(kinds.space, await havingAny("Binary_Property/White_Space", "General_Category/Control"));
  are(kinds.unassigned, await having("General_Category/Unassigned"));
  are(kinds.ignored, await having("Binary_Property/Default_Ignorable_Code_Point"));
  return found;
}

/** Runs of equal kinds: how many code points (base 36), then the kind. */
function runsOf(kindOf: Uint8Array): string {
  let runs = "";
  for (let from = 0; from < kindOf.length; ) {
    let to = from;
    while (kindOf[to] === kindOf[from]) to++;
    runs += `${(to - from).toString(36)}${"ABCDEFG"[kindOf[from] ?? 0]}`;
    from = to;
  }
  return runs;
}

/**
 * Runs of code points that fold alike: how far it is from the end of the run before, the step from one to the
 * next, how many there are, and how much is added to each.
 */
async function foldsToOne(): Promise<string> {
  const { default: common } = await import(`${data}/Case_Folding/C/code-points.mjs`);
  const pairs = [...(common as Map<number, number>)].sort(([a], [b]) => a - b);
  const runs: string[] = [];
  let end = 0;
  for (let i = 0; i < pairs.length; ) {
    const [first = 0, folded = 0] = pairs[i] ?? [];
    const step = (pairs[i + 1]?.[0] ?? 0) - first === 2 ? 2 : 1;
    let count = 1;
    for (;;) {
      const [next, to = 0] = pairs[i + count] ?? [];
      if (next !== first + count * step || to - next !== folded - first) break;
      count++;
    }
    runs.push([first - end, step, count, folded - first].map((n) => n.toString(36)).join(" "));
    end = first + (count - 1) * step;
    i += count;
  }
  return runs.join(",");
}

/** The code points that fold to several. */
async function foldsToSeveral(): Promise<[string, string][]> {
  const { default: full } = await import(`${data}/Case_Folding/F/code-points.mjs`);
  return [...(full as Map<number, number | number[]>)].map(([from, to]) => [
    String.fromCodePoint(from),
    String.fromCodePoint(...[to].flat()),
  ]);
}

const { license } = JSON.parse(await readFile(require.resolve(`${data}/package.json`), "utf8"));
const escaped = (text: string) =>
  [...text].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
const folds = (await foldsToSeveral()).map((pair) => `["${pair.map(escaped).join('", "')}"]`);
console.log(`// The properties of characters that a search goes by. Printed by \`npm run unicode\` from ${data} (${license}),
// which is made of the Unicode Character Database. print-unicode.ts says what the texts hold.

export const unicodeVersion = "${version}";

export const kindRuns =
  "${runsOf(await kindsOfAll())}";

export const caseFoldsToOne =
  "${await foldsToOne()}";

export const caseFoldsToSeveral: [string, string][] = [
  ${folds.join(",\n  ")},
];`);
