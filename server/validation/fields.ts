// The bounds of a request, each once. A refusal names the field, the limit and what was got.
import { CortexError, type Details, type Reason } from "../errors/reasons.js";
import { control } from "./control.js";
import { ownName } from "./scope.js";

export const namespaceBytesMax = 256;
export const keyBytesMax = 1024;
export const userIdBytesMax = 256;
export const typeBytesMax = 256;
export const idBytesMax = 1024;
/**
 * Types that begin with this are the server's own: its audit trail. Only `admin` may read them, nobody may
 * store them.
 */
export const reservedTypePrefix = "$cortex/";
export const tenantBytesMax = 256;
export const agentIdBytesMax = 256;
export const claimNameBytesMax = 512;
export const claimOwnerBytesMax = 256;
export const channelBytesMax = 512;
export const waitSecondsMax = 3600;
export const requestIdBytesMax = 128;
export const operationsMax = 500;
export const patchDepthMax = 100; // the database merges patches by recursion
export const ttlSecondsMax = 3_155_760_000;
export const amountCharsMax = 100;
export const amountExponentMax = 400;
export const limitMax = 1000;
export const purgeEntriesMax = 10_000;
export const batchEntriesMax = 1000;

export function name(reason: Reason, field: string, text: string, bytesMax: number): string {
  const bytes = Buffer.byteLength(text);
  const refuse = (problem: string, details: Details = {}) =>
    new CortexError(reason, { field, problem, ...details });
  if (bytes === 0) throw refuse("is empty");
  if (bytes > bytesMax)
    throw refuse("is too long", { limit: `${bytesMax} bytes of UTF-8`, got: `${bytes}` });
  if (control.test(text)) throw refuse("holds a control character");
  if (text.trim() === "") throw refuse("is blank");
  return text;
}

/** A name that may be in a scope: what it is within its scope is checked. */
export function scopedName(reason: Reason, field: string, text: string, bytesMax: number): string {
  name(reason, field, ownName(text), bytesMax);
  return text;
}

export const namespace = (text: string, field = "namespace") =>
  scopedName("INVALID_NAMESPACE", field, text, namespaceBytesMax);
export const key = (text: string, field = "key") => name("INVALID_KEY", field, text, keyBytesMax);
export const userId = (text: string, field = "user_id") =>
  name("INVALID_USER_ID", field, text, userIdBytesMax);

export const requestId = (text: string, field = "request_id") =>
  name("INVALID_REQUEST_ID", field, text, requestIdBytesMax);

export const type = (text: string, field = "type") =>
  scopedName("INVALID_TYPE", field, text, typeBytesMax);
export const id = (text: string, field = "id") => name("INVALID_ID", field, text, idBytesMax);

export const claimName = (text: string, field = "name") =>
  scopedName("INVALID_CLAIM", field, text, claimNameBytesMax);
export const claimOwner = (text: string, field = "owner") =>
  name("INVALID_CLAIM", field, text, claimOwnerBytesMax);

const channelName = (text: string, field: string) =>
  scopedName("INVALID_CHANNEL", field, text, channelBytesMax);

export function channel(text: string, field = "channel"): string {
  if (!ownName(text).includes("*")) return channelName(text, field);
  throw new CortexError("INVALID_CHANNEL", { field, problem: "holds *, which is for patterns" });
}

/** A channel, of which some segments can be `*`, and the last one `**`. */
export function channelPattern(text: string, field = "pattern"): string {
  const refuse = (problem: string) => new CortexError("INVALID_CHANNEL", { field, problem });
  const segments = ownName(channelName(text, field)).split(":");
  segments.forEach((segment, i) => {
    if (!segment.includes("*") || segment === "*") return;
    if (segment !== "**") throw refuse("has * as a part of a segment, where it can be a whole one");
    if (i < segments.length - 1) throw refuse("has ** elsewhere than at its end");
  });
  return text;
}

export function fence(text: string, field = "fence"): string {
  if (!text.startsWith("-") && text !== "0") return text;
  throw new CortexError("INVALID_CLAIM", { field, problem: "is not above 0", got: text });
}

/** How long a call is to wait for a claim. */
export function waitSeconds(seconds: number, field = "wait_seconds"): number {
  if (seconds >= 0 && seconds <= waitSecondsMax) return seconds;
  throw new CortexError("INVALID_OPTIONS", {
    field,
    problem: `is not within 0 and ${waitSecondsMax}`,
    got: `${seconds}`,
  });
}

/** The agent of a call, from the values of its header; undefined where there is none. */
export function agentId(values: readonly (string | Buffer)[]): string | undefined {
  const [value] = values;
  if (value === undefined || value === "") return undefined;
  const refuse = (problem: string, details: Details = {}) =>
    new CortexError("INVALID_AGENT_ID", { field: "x-agent-id", problem, ...details });
  if (values.length > 1 || typeof value !== "string" || !/^[\x20-\x7e]*$/.test(value))
    throw refuse("is not printable ASCII, or is given twice");
  if (value.length > agentIdBytesMax)
    throw refuse("is too long", { limit: `${agentIdBytesMax} bytes`, got: `${value.length}` });
  return value;
}

/** The tenant of a call, from the values of its header. A call without the header is of the tenant "". */
export function tenant(values: readonly (string | Buffer)[]): string {
  const id = `${values[0] ?? ""}`;
  const refuse = (problem: string, details: Details = {}) =>
    new CortexError("INVALID_TENANT", { field: "x-tenant-id", problem, ...details });
  if (values.some((value) => typeof value !== "string" || !/^[\x20-\x7e]*$/.test(value)))
    throw refuse("is not printable ASCII, or has spaces at its ends");
  if (id.length > tenantBytesMax)
    throw refuse("is too long", { limit: `${tenantBytesMax} bytes`, got: `${id.length}` });
  // HTTP joins the values of a header that is given twice with a comma.
  if (values.length > 1 || id.includes(",")) throw refuse("holds a comma, or is given twice");
  return id;
}

function versionFrom(least: number, version: number, field: string): number {
  if (version >= least) return version;
  throw new CortexError("INVALID_VERSION", {
    field,
    problem: `is below ${least}`,
    got: `${version}`,
  });
}

export const version = (n: number, field = "version") => versionFrom(1, n, field);
/** The version that a caller expects; 0 stands for no record. */
export const expectedVersion = (n: number, field: string) => versionFrom(0, n, field);

export function ttlSeconds(seconds: number, field = "ttl_seconds"): number {
  if (seconds > 0 && seconds <= ttlSecondsMax) return Math.max(seconds, 0.001);
  const limit = `above 0, at most ${ttlSecondsMax} seconds`;
  throw new CortexError("INVALID_TTL", {
    field,
    problem: "is out of range",
    limit,
    got: `${seconds}`,
  });
}

/** A decimal number as text, within bounds that keep exact arithmetic cheap. */
export function amount(text: string, field: string): string {
  const match = /^-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d+))?$/.exec(text);
  if (
    text.length <= amountCharsMax &&
    match &&
    Math.abs(Number(match[1] ?? 0)) <= amountExponentMax
  )
    return text;
  throw new CortexError("INVALID_AMOUNT", {
    field,
    problem: `is not a decimal number of at most ${amountCharsMax} characters with an exponent within ±${amountExponentMax}`,
    got: text.slice(0, amountCharsMax),
  });
}

/** The time limit that a transaction asks for, at most what the server allows. */
export function transactionSeconds(seconds: number | undefined, secondsMax: number): number {
  if (seconds === undefined) return secondsMax;
  if (seconds > 0 && seconds <= secondsMax) return seconds;
  throw new CortexError("INVALID_OPTIONS", {
    field: "begin.timeout_seconds",
    problem: "is out of range",
    limit: `above 0, at most ${secondsMax} seconds`,
    got: `${seconds}`,
  });
}

export function revision(text: string, field = "if_revision"): string {
  if (!text.startsWith("-") && text !== "0") return text;
  throw new CortexError("INVALID_REVISION", { field, problem: "is not above 0", got: text });
}

const count = (n: number, field: string, max: number): number => {
  if (n >= 1 && n <= max) return n;
  throw new CortexError("INVALID_LIMIT", {
    field,
    problem: "is out of range",
    limit: `1 to ${max}`,
    got: `${n}`,
  });
};

export const limit = (n: number | undefined, fallback: number): number =>
  n === undefined ? fallback : count(n, "limit", limitMax);

/** How many entries a step of a purge deletes at most. */
export const entriesMax = (n: number): number => count(n, "entries_max", purgeEntriesMax);

export function offset(n: number | undefined, pageToken: string): number {
  if (n === undefined) return 0;
  if (n < 0)
    throw new CortexError("INVALID_OFFSET", {
      field: "offset",
      problem: "is negative",
      got: `${n}`,
    });
  if (pageToken)
    throw new CortexError("INVALID_OFFSET", {
      field: "offset",
      problem: "cannot go together with page_token",
    });
  return n;
}

/** The text of a filter: a prefix, an agent. At least one byte. */
export function filterText(text: string, field: string): string {
  const refuse = (problem: string) => new CortexError("INVALID_FILTER", { field, problem });
  if (text === "") throw refuse("is empty: leave it out to filter by nothing");
  if (control.test(text)) throw refuse("holds a control character");
  if (Buffer.byteLength(text) > keyBytesMax) throw refuse(`is longer than ${keyBytesMax} bytes`);
  return text;
}

/** A prefix of names that may be in a scope. */
export function namePrefix(text: string, field = "prefix"): string {
  filterText(ownName(text), field);
  return text;
}

// A google.protobuf.Timestamp is of the years 1 to 9999.
export const earliest = Date.parse("0001-01-01T00:00:00.000Z");
const latest = Date.parse("9999-12-31T23:59:59.999Z");

/**
 * A time in whole milliseconds, like the stored times. `round` is floor or ceil, whichever keeps the
 * comparison with stored times exact.
 */
export function time(
  timestamp: { seconds: bigint; nanos: number },
  field: string,
  round: (ms: number) => number,
  reason: "INVALID_FILTER" | "INVALID_TIME" = "INVALID_FILTER",
): Date {
  const seconds = Number(timestamp.seconds);
  const { nanos } = timestamp;
  if (seconds >= earliest / 1000 && seconds * 1000 <= latest && nanos >= 0 && nanos < 1e9)
    return new Date(Math.min(seconds * 1000 + round(nanos / 1e6), latest));
  throw new CortexError(reason, { field, problem: "is not a time of the years 1 to 9999" });
}

/** Refuses a field that is given together with another. */
export function exclusive(
  field: string,
  isGiven: boolean,
  other: string,
  isOtherGiven: boolean,
): void {
  if (isGiven && isOtherGiven)
    throw new CortexError("INVALID_OPTIONS", {
      field,
      problem: `cannot go together with ${other}`,
    });
}

export function batch(field: string, entries: number): void {
  if (entries > batchEntriesMax)
    throw new CortexError("INVALID_BATCH", {
      field,
      problem: "is too long",
      limit: `${batchEntriesMax} entries`,
      got: `${entries}`,
    });
}
