// The result of each step of a transaction, as a stored reply and as a message.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { OperationResultSchema } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Amounts } from "../../runtime/quotas.js";
import { toRecord } from "../entries/entry.js";
import { type Cells, fromCells, type Result, toCells } from "../entries/reply.js";
import type { Stored } from "../versions/pending.js";
import { type RecordRow, toRecord as toVersionedRecord } from "../versions/version.js";

/** The entry as a step left it, or the version that it stored. */
export type StepResult = Result | Stored;

interface StoredRecord {
  stored: Omit<RecordRow, "created_at" | "first_created_at"> & {
    created_at: number;
    first_created_at: number;
  };
}

/** The results as a reply to store. It holds whole values, because it is read without the request. */
export const toReply = (results: StepResult[]): string =>
  JSON.stringify(
    results.map((result): Cells | StoredRecord => {
      if (!("stored" in result)) return toCells(result);
      const { created_at, first_created_at, ...row } = result.stored as RecordRow; // it is stored
      const times = { created_at: +created_at, first_created_at: +first_created_at };
      return { stored: { ...row, ...times } };
    }),
  );

export const fromReply = (reply: string): StepResult[] =>
  (JSON.parse(reply) as (Cells | StoredRecord)[]).map((result) => {
    if (!("stored" in result)) return fromCells(result);
    const { created_at, first_created_at, ...row } = result.stored;
    const created = { created_at: new Date(created_at) };
    return { stored: { ...row, ...created, first_created_at: new Date(first_created_at) } };
  });

export function toMessages(
  results: StepResult[],
): MessageInitShape<typeof OperationResultSchema>[] {
  return results.map((result) => {
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
  const added = { keys: 0, bytes: 0, versions: 0 };
  for (const result of results) {
    if (!result || "stored" in result || !result.row) continue;
    const { created_at, updated_at, value, metadata } = result.row;
    if (created_at.getTime() === updated_at.getTime()) added.keys++;
    added.bytes += Buffer.byteLength(value) + Buffer.byteLength(metadata);
  }
  return added;
}

const recordBytes = 128; // the most that times, numbers and tags take

/** About how many bytes the result takes in a reply. */
export const sizeOf = (result: StepResult): number => {
  const row = rowOf(result);
  if (!row) return 0;
  const texts = "data" in row ? [row.type, row.id, row.data] : [row.namespace, row.key, row.value];
  return [...texts, row.metadata].reduce((sum, text) => sum + Buffer.byteLength(text), recordBytes);
};

export const rowOf = (result: StepResult) => ("stored" in result ? result.stored : result.row);

export function checkReplySize(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax)
    throw new CortexError("REPLY_TOO_LARGE", { limit: `${bytesMax}`, got: `${bytes}` });
}
