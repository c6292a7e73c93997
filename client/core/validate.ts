// Checks arguments beyond what TypeScript can check: text that protobuf cannot carry, and unknown options.
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type ErrorCode, refused } from "./error.js";

/** Checks that a value is a string that protobuf can carry: it must not hold half of a surrogate pair. */
export function text(value: unknown, field: string, code: ErrorCode): string {
  if (typeof value !== "string") throw refused(code, field, `is not a string but ${typeof value}`);
  if (!value.isWellFormed()) throw refused(code, field, "holds half of a surrogate pair");
  return value;
}

export const namespaceText = (value: unknown) => text(value, "namespace", "INVALID_NAMESPACE");
export const keyText = (value: unknown, field = "key") => text(value, field, "INVALID_KEY");
export const userIdText = (value: unknown, field = "userId") =>
  text(value, field, "INVALID_USER_ID");

export function whole(value: unknown, field: string, code: ErrorCode): number {
  if (Number.isInteger(value) && Math.abs(value as number) < 2 ** 31) return value as number;
  throw refused(code, field, `is not a whole number: ${String(value)}`);
}

export function time(
  value: unknown,
  field: string,
  code: "INVALID_FILTER" | "INVALID_TIME" = "INVALID_FILTER",
): Timestamp {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return timestampFromDate(value);
  throw refused(code, field, "is not a valid Date");
}

/** Refuses unknown options. If they were ignored, `{ ttl: 60 }` would store an entry that never expires. */
export function rejectUnknown<T extends object>(
  given: T,
  known: readonly string[],
  code: ErrorCode,
  what: string,
): T {
  if (typeof given !== "object" || given === null) throw refused(code, what, "is not an object");
  const stranger = Object.entries(given).find(
    ([name, value]) => value !== undefined && !known.includes(name),
  )?.[0];
  if (stranger === undefined) return given;
  throw refused(code, stranger, `is not known here; ${what} takes ${known.join(", ")}`);
}

export function flag(value: unknown, field: string): boolean {
  if (typeof value === "boolean") return value;
  throw refused("INVALID_OPTIONS", field, `is not true or false: ${String(value)}`);
}

export function listed<T>(value: readonly T[], field: string): readonly T[] {
  if (Array.isArray(value)) return value;
  throw refused("INVALID_BATCH", field, "is not a list");
}

export const callNames = ["timeoutMs", "signal"];

export const writeNames = [...callNames, "requestId", "claim"];

/** Refuses an option that is neither one of every write nor named in `more`. */
export const writeOptions = <T extends object>(
  given: T,
  what: string,
  more: readonly string[] = [],
): T => rejectUnknown(given, [...writeNames, ...more], "INVALID_OPTIONS", what);

/** Checks the options of a call that has no options of its own, only `CallOptions`. */
export const callOptions = <T extends object>(given: T, what: string): T =>
  rejectUnknown(given, callNames, "INVALID_OPTIONS", what);

export function revisionText(value: unknown): string {
  if (
    typeof value === "string" &&
    /^-?\d{1,19}$/.test(value) &&
    BigInt.asIntN(64, BigInt(value)) === BigInt(value)
  )
    return value;
  throw refused("INVALID_REVISION", "ifRevision", "is not the revision of a record");
}

export const claimNameText = (value: unknown, field = "name") =>
  text(value, field, "INVALID_CLAIM");

/** The fence of a claim: a decimal number of at most 19 digits. */
export function fenceText(value: unknown, field = "fence"): string {
  if (typeof value === "string" && /^\d{1,19}$/.test(value) && BigInt(value) < 2n ** 63n)
    return value;
  throw refused("INVALID_CLAIM", field, "is not the fence of a claim");
}

export function secondsOf(value: unknown, field = "ttlSeconds"): number {
  if (typeof value === "number" && !Number.isNaN(value)) return value;
  throw refused("INVALID_TTL", field, `is not a number of seconds: ${String(value)}`);
}

export function amountText(value: unknown): string {
  if (typeof value === "string" || typeof value === "bigint") return String(value);
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  throw refused("INVALID_AMOUNT", "amount", `is not a number: ${String(value)}`);
}

/** Checks that a value, unless it is undefined, is text that an HTTP header can carry. */
export function header<T extends string | undefined>(
  field: string,
  value: T,
  code: "INVALID_CONFIG" | "INVALID_AGENT_ID" = "INVALID_CONFIG",
): T {
  if (
    value === undefined ||
    (typeof value === "string" && /^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$/.test(value))
  )
    return value; // HTTP drops spaces at the ends, so a tenant id with such spaces would become another id
  throw refused(code, field, "is not printable ASCII text without spaces at its ends");
}

/** The member of `choices` that the caller names. */
export function picked<T>(
  choices: Record<string, T>,
  choice: string,
  field: string,
  code: "INVALID_SORT" | "INVALID_OPTIONS" = "INVALID_SORT",
): T {
  const found = Object.hasOwn(choices, choice) ? choices[choice] : undefined;
  if (found !== undefined) return found;
  const problem = `is not one of ${Object.keys(choices).join(", ")}: ${String(choice)}`;
  throw refused(code, field, problem);
}
