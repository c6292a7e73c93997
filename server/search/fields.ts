// The fields of a JSON value, and values as filters compare them.
import { canonicalNumber, NumberText } from "../validation/exact-json.js";

export interface Field {
  /** Such as `data.sections[2]`. */
  path: string;
  text: string;
}

/** The texts and numbers in a JSON value, in order, as they were written: see `parseExactly`. */
export function fieldsOf(value: unknown, path: string): Field[] {
  const fields: Field[] = [];
  const walk = (value: unknown, path: string) => {
    if (typeof value === "string") fields.push({ path, text: value });
    else if (typeof value === "number") fields.push({ path, text: `${value}` });
    else if (value instanceof NumberText) fields.push({ path, text: value.text });
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

/**
 * JSON text that Postgres can store as jsonb, and that is equal for equal values only. Postgres takes neither
 * U+0000 nor half of a surrogate pair, and jsonb has no numbers of any size. These are written behind
 * `escaped`.
 */
export function comparable(value: unknown): string {
  return JSON.stringify(value, (_, member) => {
    if (typeof member === "string") return plain(member);
    if (member instanceof NumberText) {
      const number = canonicalNumber(member.text);
      return typeof number === "number" ? number : `${escaped}n${number}`;
    }
    return typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).map(([name, of]) => [plain(name), of]))
      : member;
  });
}

const escaped = "\ufffd";
const unusual =
  /[\0\ufffd]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const plain = (text: string) =>
  text.replace(unusual, (char) =>
    char === escaped ? escaped + escaped : `${escaped}u${char.charCodeAt(0).toString(16)};`,
  );
