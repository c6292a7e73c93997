// Writes of entries, as a kind of the one write path (write-path.ts).
import { claimLockName } from "../claims/claim.js";
import type { StoredReply } from "../idempotency.js";
import { requestLockName, userLockName } from "../locks.js";
import { type BatchOutcome, WriteKind } from "../write-path.js";
import type { AtomicWrite } from "./atomic-write.js";
import { namespaceName } from "./entry.js";
import { fillOmitted } from "./omitted.js";
import type { Operation } from "./operation.js";
import { arePlain, plainStatement, separate } from "./plain.js";
import { errorOf } from "./refusal.js";
import { type Cells, contentBytes, fromCells, knownOf, type Result } from "./reply.js";
import { statement } from "./statement.js";

/** What both statements say of an operation. */
interface Answer {
  refusal: string | null;
  /** True if the reply of its write is too large. */
  large: boolean;
  /** When the entry expires on whose state the operation depended. */
  seen_until: Date | null;
  bytes: number | null;
  type: string | null;
  /** The revision that a refused operation found. */
  found_revision: string;
  /** The fingerprint of the stored reply, where there is one under the request id. */
  repeats: string | null;
  reply: string | null;
}

/** A row of the general statement's answer: one for each operation. */
interface GeneralRow extends Answer {
  cells: string;
}

/** A row of the answer of the statement of plain writes. The rest of the entry is known here. */
interface PlainRow extends Answer {
  cells?: undefined;
  at: Date;
  revision: string;
  created_at: Date;
  expire_at: Date | null;
  user_id: string | null;
  /** null if the operation has it. */
  metadata: string | null;
  /** null if the operation has it. */
  value: string | null;
  access_count: string;
  accessed_at: Date | null;
}

type OperationRow = GeneralRow | PlainRow;

export const entryWrites = new WriteKind<AtomicWrite, OperationRow, Result[]>({
  statement: (sql, writes, mode) =>
    mode.shared && mode.locking === "try" && arePlain(writes)
      ? plainStatement(sql, writes)
      : statement(sql, writes, mode),
  separate,
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
    const { refusal, found_revision: revision, type } = row;
    const isLarge = refusal === null || refusal === "REPLY_TOO_LARGE";
    const [reason, bytes] = isLarge ? ["REPLY_TOO_LARGE", replyBytesMax] : [refusal, row.bytes];
    return { refused: errorOf(write, { index, reason, revision, type, bytes }), index };
  }
  const results = rows.map((row, i) => {
    const operation = operations[i] as Operation;
    const result =
      row.cells === undefined
        ? plainResult(write, operation, row)
        : resultOf(JSON.parse(row.cells) as Cells, operation);
    result.seenUntil = row.seen_until;
    const kept = row.cells?.length ?? slimCellsMax + (result.row ? contentBytes(result.row) : 0);
    result.kept = kept > write.contentMax + slimCellsMax ? slimCellsMax : kept;
    return result;
  });
  return { result: results };
}

function plainResult(
  { agent, principal }: AtomicWrite,
  operation: Operation,
  row: PlainRow,
): Result {
  const { namespace, key } = operation;
  const { at, user_id, created_at, expire_at, revision, access_count, accessed_at } = row;
  const known = knownOf(operation);
  return {
    namespace,
    key,
    deleted: false,
    at,
    row: {
      namespace,
      key,
      value: row.value ?? known.value ?? "",
      user_id,
      metadata: row.metadata ?? known.metadata ?? "{}",
      omitted: false,
      created_at,
      updated_at: at,
      expire_at,
      revision,
      agent_id: agent ?? null,
      principal: principal ?? null,
      access_count,
      accessed_at,
    },
  };
}

const resultOf = (cells: Cells, operation: Operation | undefined): Result =>
  fromCells(cells, operation && knownOf(operation));

const resultsOf = (cells: Cells[], operations: Operation[]): Result[] =>
  cells.map((one, i) => resultOf(one, operations[i]));
