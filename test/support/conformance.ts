// The conformance table: how its cases are read, and how outcomes are compared. test/conformance/README.md says what the
// files hold.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isSameJson, Json } from "../../client/core/json.js";
import { root } from "./process.js";

export type Args = Record<string, unknown>;

export interface ConformanceCall {
  call: string;
  args: Args;
  result?: unknown;
  save?: Record<string, string>;
  error?: { code: string; details?: Record<string, string> };
  skip?: string[];
}

export interface ConformanceCase {
  file: string;
  name: string;
  calls: ConformanceCall[];
}

const folder = join(root, "test", "conformance");
const json = new Json(true);

export async function conformanceCases(): Promise<ConformanceCase[]> {
  const cases: ConformanceCase[] = [];
  for (const file of (await readdir(folder)).filter((name) => name.endsWith(".json")).toSorted())
    for (const one of json.parse<ConformanceCase[]>(await readFile(join(folder, file), "utf8")))
      cases.push({ ...one, file: file.replace(".json", "") });
  return cases;
}

/** Puts in what was saved, and what is too long for the file. */
export function expand(value: unknown, saved: ReadonlyMap<string, unknown>): unknown {
  if (typeof value === "string" && /^\$\w+$/.test(value) && saved.has(value.slice(1)))
    return saved.get(value.slice(1));
  if (Array.isArray(value)) return value.map((one) => expand(one, saved));
  if (typeof value !== "object" || value === null || !isPlain(value)) return value;
  const given = value as Args;
  if (Array.isArray(given.$repeat)) return (given.$repeat[0] as string).repeat(given.$repeat[1]);
  if (Array.isArray(given.$times))
    return Array.from({ length: given.$times[0] }, () => given.$times?.[1 as never]);
  if (typeof given.$time === "string") return new Date(given.$time);
  if (typeof given.$deep === "number") {
    let deep: unknown = 1;
    for (let i = 0; i < given.$deep; i++) deep = [deep];
    return deep;
  }
  return Object.fromEntries(Object.entries(given).map(([name, one]) => [name, expand(one, saved)]));
}

const isPlain = (value: object) => Object.getPrototypeOf(value) === Object.prototype;

/** What holds what a caller has stored: it is compared as a whole. */
const whole = new Set(["value", "data", "metadata", "profile"]);
const wholeCalls = new Set(["mutable.get", "mutable.getMany"]);

/** The first difference; undefined if the outcome is as expected. Members that are not expected may be there. */
export function difference(call: string, expected: unknown, got: unknown): string | undefined {
  return differenceAt(expected, got, "result", wholeCalls.has(call));
}

function differenceAt(
  expected: unknown,
  got: unknown,
  path: string,
  isWhole: boolean,
): string | undefined {
  const show = (value: unknown) =>
    JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${one}` : one))?.slice(0, 200);
  const differs = `${path} is ${show(got)}, expected ${show(expected)}`;
  if (isWhole) return isSameJson(expected ?? null, got ?? null) ? undefined : differs;
  if (expected === null) return got === null || got === undefined ? undefined : differs;
  if (expected instanceof Date || got instanceof Date)
    return Number(expected) === Number(got) ? undefined : differs;
  if (Array.isArray(expected)) {
    if (!Array.isArray(got) || got.length !== expected.length) return differs;
    for (const [i, one] of expected.entries()) {
      const found = differenceAt(one, got[i], `${path}[${i}]`, false);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (typeof expected !== "object") return isSameJson(expected, got ?? null) ? undefined : differs;
  if ("$length" in expected)
    return Array.isArray(got) && got.length === expected.$length ? undefined : differs;
  if (typeof got !== "object" || got === null) return differs;
  for (const [name, one] of Object.entries(expected)) {
    const found = differenceAt(one, (got as Args)[name], `${path}.${name}`, whole.has(name));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What is at a path, such as `0.delivery`. */
export const at = (value: unknown, path: string): unknown =>
  path.split(".").reduce<unknown>((inner, name) => (inner as Args)?.[name], value);
