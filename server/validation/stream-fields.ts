// The bounds of requests of the service Streams.
import { CortexError, type Details } from "../errors/reasons.js";
import { control } from "./control.js";
import { name, scopedName } from "./fields.js";

const streamBytesMax = 512;
const groupBytesMax = 256;
const idPartMax = Number.MAX_SAFE_INTEGER;
const visibilitySecondsMin = 0.1;
const weekSeconds = 604_800;
const deliveriesMax = 1000;
const reasonBytesMax = 1024;
const blockSecondsMax = 3600;

export const stream = (text: string, field = "stream") =>
  scopedName("INVALID_STREAM", field, text, streamBytesMax);
export const group = (text: string, field = "group") =>
  name("INVALID_STREAM", field, text, groupBytesMax);
export const consumer = (text: string, field = "consumer") =>
  name("INVALID_STREAM", field, text, groupBytesMax);

/** The id of an entry. */
export interface EntryId {
  ms: number;
  seq: number;
}

export const idText = ({ ms, seq }: { ms: number | string; seq: number | string }): string =>
  `${ms}-${seq}`;

export const isAbove = (a: EntryId, b: EntryId): boolean =>
  a.ms > b.ms || (a.ms === b.ms && a.seq > b.seq);

/** An id; `seq` is that of an id without a number, undefined if it must have one. */
export function entryId(text: string, field: string, seq?: number): EntryId {
  const match = /^(\d{1,16})(?:-(\d{1,16}))?$/.exec(text);
  const id = { ms: Number(match?.[1]), seq: match?.[2] === undefined ? seq : Number(match[2]) };
  if (match && id.seq !== undefined && id.ms <= idPartMax && id.seq <= idPartMax)
    return id as EntryId;
  throw new CortexError("INVALID_ENTRY_ID", {
    field,
    problem: `is not <milliseconds>-<number>, each at most ${idPartMax}`,
    got: text.slice(0, 100),
  });
}

export const lowestId = (text: string, field: string) => entryId(text, field, 0);
export const highestId = (text: string, field: string) => entryId(text, field, idPartMax);

/** The id of a new entry. */
export function newId(text: string, field: string): EntryId {
  const id = entryId(text, field);
  if (id.ms > 0 || id.seq > 0) return id;
  throw new CortexError("INVALID_ENTRY_ID", { field, problem: "is not above 0-0", got: text });
}

const within = (
  reason: "INVALID_TTL" | "INVALID_LIMIT" | "INVALID_OPTIONS",
  field: string,
  got: number | bigint,
  least: number,
  most: number,
  unit = "",
): number => {
  if (got >= least && got <= most) return Number(got);
  const details: Details = {
    field,
    problem: "is out of range",
    limit: `${least} to ${most}${unit}`,
  };
  throw new CortexError(reason, { ...details, got: `${got}` });
};

export const maxLen = (entries: bigint, least: number, field: string): number =>
  within("INVALID_LIMIT", field, entries, least, idPartMax);

export const visibilitySeconds = (seconds: number): number =>
  within(
    "INVALID_TTL",
    "visibility_seconds",
    seconds,
    visibilitySecondsMin,
    weekSeconds,
    " seconds",
  );

export const maxDeliveries = (n: number): number =>
  within("INVALID_LIMIT", "max_deliveries", n, 0, deliveriesMax);

export const readCount = (n: number): number => within("INVALID_LIMIT", "count", n, 1, 1000);

export const blockSeconds = (seconds: number): number =>
  within("INVALID_OPTIONS", "block_seconds", seconds, 0, blockSecondsMax, " seconds");

export const delaySeconds = (seconds: number): number =>
  within("INVALID_OPTIONS", "delay_seconds", seconds, 0, weekSeconds, " seconds");

export const minIdleSeconds = (seconds: number): number =>
  within("INVALID_OPTIONS", "min_idle_seconds", seconds, 0, weekSeconds, " seconds");

/** Why an entry is given back: any text of a bounded size. */
export function reason(text: string): string {
  const bytes = Buffer.byteLength(text);
  const refuse = (problem: string, details: Details = {}) =>
    new CortexError("INVALID_OPTIONS", { field: "reason", problem, ...details });
  if (bytes > reasonBytesMax)
    throw refuse("is too long", { limit: `${reasonBytesMax} bytes of UTF-8`, got: `${bytes}` });
  if (control.test(text.replace(/[\t\n\r]/g, ""))) throw refuse("holds a control character");
  return text;
}
