// Writes of entries, as a kind of the one write path (write-path.ts).
import { claimLockName } from "../claims/claim.js";
import type { StoredReply } from "../idempotency.js";
import { requestLockName, userLockName } from "../locks.js";
import { type BatchOutcome, WriteKind } from "../write-path.js";
import type { AtomicWrite } from "./atomic-write.js";
import { namespaceName } from "./entry.js";
import { fillOmitted } from "./omitted.js";
import type { Operation } from "./operation.js";
import { errorOf } from "./refusal.js";
import { type Cells, fromCells, knownOf, type Result } from "./reply.js";
import { statement } from "./statement.js";

/** A row of the statement's answer: one for each operation. */
interface OperationRow {
  cells: string;
  refusal: string | null;
  /** True if the reply of its write is too large. */
  large: boolean;
  /** When the entry expires on whose state the operation depended. */
  seen_until: Date | null;
  bytes: number | null;
  type: string | null;
  revision: string;
  /** The fingerprint of the stored reply, where there is one under the request id. */
  repeats: string | null;
  reply: string | null;
}

export const entryWrites = new WriteKind<AtomicWrite, OperationRow, Result[]>({
  statement,
  outcomes,
  async parseReply(reply, { operations }, { caller, db }) {
    const results = resultsOf(JSON.parse(reply) as Cells[], operations);
    await fillOmitted(db.short, caller.tenant, results);
    return results;
  },
  replyBytes: (results) => results.reduce((sum, { kept = 0 }) => sum + kept, 0),
  addsExactly: false, // only the statement knows whether a key is new
});

/** The name in KeyLocks of what keeps an operation from being done. */
function lockNameOf(
  { tenant, operations, keys, idempotencyKey, guard }: AtomicWrite,
  index: number,
  refusal: string | null | undefined,
): string {
  const { namespace, userId } = operations[index] as Operation;
  if (refusal === "NAMESPACE_LOCKED") return namespaceName(tenant, namespace);
  if (refusal === "CLAIM_LOCKED") return claimLockName(tenant, guard?.name ?? "");
  if (refusal === "USER_LOCKED") return userLockName(tenant, userId ?? "");
  if (refusal === "REQUEST_LOCKED") return requestLockName(tenant, idempotencyKey?.id ?? "");
  return keys[index] as string;
}

const slimCellsMax = 512; // about how long cells without value and metadata are

function outcomes(writes: AtomicWrite[], rows: OperationRow[]): BatchOutcome<Result[]>[] {
  let next = 0;
  return writes.map((write) => {
    const own = rows.slice(next, next + write.operations.length);
    next += write.operations.length;
    return outcomeOf(write, own);
  });
}

function outcomeOf(write: AtomicWrite, rows: OperationRow[]): BatchOutcome<Result[]> {
  const { operations, replyBytesMax } = write;
  const [first] = rows;
  if (first?.repeats != null) {
    const repeated: StoredReply = { fingerprint: first.repeats, reply: first.reply };
    return { repeated };
  }
  const locked = rows.findIndex(({ refusal }) => refusal?.endsWith("_LOCKED"));
  if (locked >= 0) return { lockedBy: lockNameOf(write, locked, rows[locked]?.refusal) };
  if (rows.some(({ refusal }) => refusal === "LARGE")) return "large";
  if (rows.some(({ refusal }) => refusal === "FOREIGN"))
    throw new Error("a statement found the row of another tenant");
  const index = rows.findIndex(({ refusal, large }) => refusal !== null || large);
  const row = rows[index];
  if (row) {
    const { refusal, revision, type } = row;
    const isLarge = refusal === null || refusal === "REPLY_TOO_LARGE";
    const [reason, bytes] = isLarge ? ["REPLY_TOO_LARGE", replyBytesMax] : [refusal, row.bytes];
    return { refused: errorOf(write, { index, reason, revision, type, bytes }), index };
  }
  const cells = rows.map((row) => JSON.parse(row.cells) as Cells);
  const results = resultsOf(cells, operations);
  rows.forEach(({ seen_until, cells }, i) => {
    const kept = cells.length > write.contentMax + slimCellsMax ? slimCellsMax : cells.length;
    Object.assign(results[i] as Result, { seenUntil: seen_until, kept });
  });
  return { result: results };
}

const resultsOf = (cells: Cells[], operations: Operation[]): Result[] =>
  cells.map((one, i) => fromCells(one, operations[i] && knownOf(operations[i])));
