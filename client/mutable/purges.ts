// Runs a purge of entries: in one call, or step by step.
import { randomUUID } from "node:crypto";
import type { WriteOptions } from "../core/call-options.js";
import { CortexError } from "../core/error.js";
import { flag, rejectUnknown, text, whole, writeNames } from "../core/validate.js";
import type { PurgeOptions, PurgeResult } from "./options.js";

const timeoutMsDefault = 60_000;
const entriesPerStepDefault = 1000;
const keysShownMax = 1000;
const requestIdBytesMax = 128;
const stepNumberBytesMax = 12;

/** The fields that the requests of all purges have. */
interface Fields {
  dryRun: boolean;
  entriesMax?: number;
  continueToken?: string;
}

interface Reply {
  deleted: bigint;
  keys?: string[];
  continueToken?: string | undefined;
}

/** Sends the request of a purge with these fields. */
type Send = (fields: Fields, options: WriteOptions) => Promise<Reply>;

interface Purged {
  deleted: number;
  keys: string[];
  dryRun: boolean;
}

/** Runs the purge of a method of the client, whose name is `what`. */
export async function runPurge(options: PurgeOptions, what: string, send: Send): Promise<Purged> {
  const names = ["dryRun", "stepped", "entriesPerStep", "onProgress", ...writeNames];
  rejectUnknown(options, names, "INVALID_OPTIONS", what);
  const { dryRun = false, stepped = false } = options;
  const fields = { dryRun: flag(dryRun, "dryRun") };
  const withTimeout = { ...options, timeoutMs: options.timeoutMs ?? timeoutMsDefault };
  if (flag(stepped, "stepped")) return inSteps(fields, withTimeout, send);
  for (const name of ["entriesPerStep", "onProgress"] as const)
    if (options[name] !== undefined) throw invalid(name, "needs stepped: true");
  const { deleted, keys = [] } = await send(fields, withTimeout);
  return { deleted: Number(deleted), keys, dryRun };
}

async function inSteps({ dryRun }: Fields, options: PurgeOptions, send: Send): Promise<Purged> {
  const { entriesPerStep = entriesPerStepDefault, onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== "function")
    throw invalid("onProgress", "is not a function");
  const entriesMax = whole(entriesPerStep, "entriesPerStep", "INVALID_LIMIT");
  const requestId = requestIdOf(options);
  const keys: string[] = [];
  let deleted = 0;
  let next: Pick<Fields, "continueToken"> = {};
  for (let step = 1; ; step++) {
    const reply = await send(
      { dryRun, entriesMax, ...next },
      { ...options, requestId: `${requestId}:${step}` },
    );
    deleted += Number(reply.deleted);
    if (keys.length < keysShownMax) keys.push(...(reply.keys ?? []));
    const { continueToken } = reply;
    await onProgress?.({ deleted, done: continueToken === undefined });
    if (continueToken === undefined) return { deleted, keys, dryRun };
    next = { continueToken };
  }
}

/** The request id of the purge. The number of the step is added to it. */
function requestIdOf({ requestId = randomUUID() }: WriteOptions): string {
  const bytesMax = requestIdBytesMax - stepNumberBytesMax;
  const bytes = Buffer.byteLength(text(requestId, "requestId", "INVALID_REQUEST_ID"));
  if (bytes > 0 && bytes <= bytesMax) return requestId;
  const problem = `is not 1 to ${bytesMax} bytes long, as a purge in steps needs`;
  throw invalid("requestId", problem, "INVALID_REQUEST_ID");
}

const invalid = (
  field: string,
  problem: string,
  code: "INVALID_OPTIONS" | "INVALID_REQUEST_ID" = "INVALID_OPTIONS",
) => new CortexError(code, `${field} ${problem}`, { field, problem });

export const toPurgeResult = (
  namespace: string,
  { deleted, keys, dryRun }: Purged,
): PurgeResult => ({ deleted, keysDeleted: deleted, namespace, keys, dryRun });
