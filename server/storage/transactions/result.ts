// The result of each step of a transaction, as a stored reply and as a message.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { OperationResultSchema } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import type { Amounts } from "../../runtime/quotas.js";
import { toRecord } from "../entries/entry.js";
import { fillOmitted } from "../entries/omitted.js";
import { type Cells, fromCells, knownOf, type Result, toCells } from "../entries/reply.js";
import type { NewVersion } from "../versions/new-version.js";
import { fillOmitted as fillOmittedVersions } from "../versions/omitted.js";
import type { Stored } from "../versions/pending.js";
import { type RecordRow, toRecord as toVersionedRecord } from "../versions/version.js";
import { isOnEntry, type TransactionStep } from "./step.js";

/** The event of a step, by its channel. */
export interface Published {
  published: string;
}

/** The entries that a step appends to a stream, by its name. */
export interface Appended {
  appended: string;
  /** How many there are. */
  entries: number;
  /** Their ids: none until the transaction commits. */
  ids: string[];
}

/** The entry as a step left it, the version that it stored, the event that it published, or the entries that it appended. */
export type StepResult = Result | Stored | Published | Appended;

const isMessage = (result: StepResult): result is Published | Appended =>
  "published" in result || "appended" in result;

interface StoredRecord {
  stored: Omit<RecordRow, "created_at" | "first_created_at" | "data" | "metadata"> & {
    created_at: number;
    first_created_at: number;
    /** null: they were large, and are left out. */
    data: string | null;
    metadata: string | null;
  };
}

/**
 * The results as a reply to store. It holds values too, because it is read without the request; but none where
 * the content of a result has more than `contentMax` bytes.
 */
export const toReply = (results: StepResult[], contentMax: number): string =>
  JSON.stringify(
    results.map((result): Cells | StoredRecord | Published | Appended => {
      if (isMessage(result)) return result;
      if (!("stored" in result)) return toCells(result, contentMax);
      const { created_at, first_created_at, ...row } = result.stored as RecordRow; // it is stored
      const times = { created_at: +created_at, first_created_at: +first_created_at };
      const isLarge = Buffer.byteLength(row.data) + Buffer.byteLength(row.metadata) > contentMax;
      return { stored: { ...row, ...times, ...(isLarge && { data: null, metadata: null }) } };
    }),
  );

/**
 * Reads a stored reply. What it left out is taken from the steps, if the request has them, or else from where it
 * is still kept.
 */
export async function fromReply(
  reply: string,
  { caller, db }: Pick<Call, "caller" | "db">,
  steps: TransactionStep[] = [],
): Promise<StepResult[]> {
  const entries: Result[] = [];
  const records: RecordRow[] = [];
  const parsed = JSON.parse(reply) as (Cells | StoredRecord | Published | Appended)[];
  const results = parsed.map((result, i): StepResult => {
    const step = steps[i];
    if ("published" in result || "appended" in result) return result;
    if ("stored" in result) {
      const stored = fromStored(result, step?.kind === "store" ? step : undefined);
      records.push(stored);
      return { stored };
    }
    const entry = fromCells(result, step && isOnEntry(step) ? knownOf(step) : undefined);
    entries.push(entry);
    return entry;
  });
  await fillOmitted(db.short, caller.tenant, entries);
  await fillOmittedVersions(db.short, caller.tenant, records);
  return results;
}

function fromStored({ stored }: StoredRecord, request: NewVersion | undefined): RecordRow {
  const { created_at, first_created_at, data, metadata, ...row } = stored;
  return {
    ...row,
    created_at: new Date(created_at),
    first_created_at: new Date(first_created_at),
    data: data ?? request?.data ?? "",
    metadata: metadata ?? (request?.metadata === null ? "{}" : request?.metadata) ?? "",
    omitted: data === null && (request?.data === undefined || request.metadata === undefined),
  };
}

export function toMessages(
  results: StepResult[],
): MessageInitShape<typeof OperationResultSchema>[] {
  return results.map((result) => {
    if ("published" in result)
      return { result: { case: "published", value: { channel: result.published } } };
    if ("appended" in result)
      return { result: { case: "appended", value: { stream: result.appended, ids: result.ids } } };
    if ("stored" in result)
      return { result: { case: "stored", value: toVersionedRecord(result.stored) } };
    const { row, namespace, key, deleted, at } = result;
    if (row) return { result: { case: "record", value: toRecord(row) } };
    const value = { deleted, namespace, key, deleteTime: timestampFromDate(at) };
    return { result: { case: "deleted", value } };
  });
}

/** The amounts that written entries add: the keys that are new, and the bytes of all. */
export function addedBy(results: StepResult[]): Amounts {
  const added = { keys: 0, bytes: 0, versions: 0, pending: 0 };
  for (const result of results) {
    if (!result || isMessage(result) || "stored" in result || !result.row) continue;
    const { created_at, updated_at, value, metadata } = result.row;
    if (created_at.getTime() === updated_at.getTime()) added.keys++;
    added.bytes += Buffer.byteLength(value) + Buffer.byteLength(metadata);
  }
  return added;
}

/** Of a value that replaces another, both are too much: what the request has, and what is there now. */
export const atMost = (a: Amounts, b: Amounts): Amounts => ({
  keys: Math.min(a.keys, b.keys),
  bytes: Math.min(a.bytes, b.bytes),
  versions: Math.min(a.versions, b.versions),
  pending: 0,
});

const recordBytes = 128; // the most that times, numbers and tags take
const idBytes = 36;

/** About how many bytes the result takes in a reply. */
export const sizeOf = (result: StepResult): number => {
  if ("appended" in result) return recordBytes + idBytes * result.entries;
  const row = rowOf(result);
  if (!row) return 0;
  const texts = "data" in row ? [row.type, row.id, row.data] : [row.namespace, row.key, row.value];
  return [...texts, row.metadata].reduce((sum, text) => sum + Buffer.byteLength(text), recordBytes);
};

/** The users whose data the results hold. */
export const usersOf = (results: StepResult[]): string[] =>
  results.flatMap((result) => rowOf(result)?.user_id ?? []);

function rowOf(result: StepResult) {
  if (isMessage(result)) return undefined;
  return "stored" in result ? result.stored : result.row;
}

export function checkReplySize(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax)
    throw new CortexError("REPLY_TOO_LARGE", { limit: `${bytesMax}`, got: `${bytes}` });
}
