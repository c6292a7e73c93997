// The text in JSON: its fields one by one, folded so that letters of any case and composition compare equal.

export interface Field {
  /** Such as `data.sections[2]`. */
  path: string;
  text: string;
}

/** The texts and numbers in a JSON value, in their order. */
export function fieldsOf(value: unknown, path: string): Field[] {
  const fields: Field[] = [];
  const walk = (value: unknown, path: string) => {
    if (typeof value === "string") fields.push({ path, text: value });
    else if (typeof value === "number") fields.push({ path, text: `${value}` });
    else if (Array.isArray(value))
      value.forEach((element, i) => {
        walk(element, `${path}[${i}]`);
      });
    else if (typeof value === "object" && value !== null)
      for (const [name, member] of Object.entries(value))
        walk(
          member,
          /^[\w$]+$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`,
        );
  };
  walk(value, path);
  return fields;
}

/** One space between words; no control characters, which Postgres cannot hold or a field could end with. */
export const fold = (text: string): string =>
  text
    .toWellFormed()
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\s\p{Cc}]+/gu, " ");

// Scripts that are written without spaces: their words are not known, so they are found by pairs of letters.
const unspaced =
  /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}ー]+/gu;

/** The pairs of neighbouring letters in the unspaced scripts of folded text, and the last letter of each run by itself. */
export function pairsOf(text: string): string[] {
  const pairs = new Set<string>();
  for (const [run] of text.matchAll(unspaced)) {
    const letters = [...run];
    letters.forEach((letter, i) => {
      pairs.add(letter + (letters[i + 1] ?? ""));
    });
  }
  return [...pairs];
}

/** JSON as it can be compared and kept as jsonb: without U+0000 and halves of surrogate pairs; numbers as doubles. */
export function comparable(value: unknown): string {
  return JSON.stringify(value, (_, member) =>
    typeof member === "string"
      ? plain(member)
      : typeof member === "object" && member !== null && !Array.isArray(member)
        ? Object.fromEntries(Object.entries(member).map(([name, of]) => [plain(name), of]))
        : member,
  );
}

const plain = (text: string) => text.toWellFormed().replaceAll("\0", "\ufffd");

// What a tsvector holds at most is 1 MiB, with positions and parts of words: text beyond this is found by its fragments only.
const wordsCharsMax = 128 * 1024;
const pairsMax = 50_000;

/** What a record is found by, in the form the statement takes. */
export interface Searchable {
  /** All fields, folded, a line each. */
  text: string;
  /** The fields whose words are indexed: a JSON array. */
  fields: string;
  pairs: string[];
}

export function searchable(value: unknown): Searchable {
  const fields = fieldsOf(value, "").map(({ text }) => fold(text));
  let room = wordsCharsMax;
  const indexed = fields.map((field) => {
    const part = field.slice(0, Math.max(room, 0)).toWellFormed();
    room -= field.length;
    return part;
  });
  const text = fields.join("\n");
  return { text, fields: JSON.stringify(indexed), pairs: pairsOf(text).slice(0, pairsMax) };
}
