// The one write path, for entries and for versions. A write joins a batch. If a key is locked, the write
// waits for the key and tries again. A repeat (same request id) gets the stored reply of the attempt that was
// applied:
//   - If that attempt has committed, the statement of the repeat finds the reply.
//   - If that attempt still runs on this server, the repeat waits until the batch of the attempt has ended,
//     because the request id is a conflict key.
//   - If that attempt still runs on another server, the repeat waits for the row lock of the attempt, or
//     fails with unique_violation (23505) and runs again. Then it finds the reply.
import { setTimeout as pause } from "node:timers/promises";
import type { CortexError } from "../errors/reasons.js";
import { codeOf } from "../errors/sqlstate.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Run, Sql } from "../postgres/connection.js";
import { type Batchable, batchWeightMax, type ConflictKey } from "../runtime/group-commit.js";
import { type Amounts, quotaRefusal, type Room } from "../runtime/quotas.js";
import {
  findStoredReply,
  type IdempotencyKey,
  matchReply,
  type StoredReply,
} from "./idempotency.js";

/** The fields of every kind of write. */
export interface Write {
  tenant: string;
  idempotencyKey: IdempotencyKey | undefined;
  /** The names of its keys in KeyLocks. */
  keys: readonly string[];
  /** Other names in KeyLocks whose owner can block it. */
  blockers: readonly string[];
  conflictKeys: readonly ConflictKey[];
  /** Its share of a batch's weight. */
  weight: number;
  /** The most that it adds to the amounts of its tenant. */
  adds: Amounts;
  /** The room that its tenant has left, if it is near a limit: then the statement must check it. */
  room?: Room | undefined;
}

/** The outcome of a write. */
export type Outcome<Result> =
  | { result: Result }
  /** Nothing was written. `index` is the operation that was refused. */
  | { refused: CortexError; index: number }
  /** An attempt under the same request id was applied before. */
  | { repeated: StoredReply }
  /** Nothing was written: a key is locked. */
  | "locked";

interface WriteKindParts<W extends Write, Row extends object, Result> {
  /** The statement that makes the writes. Without `wait` it reports a locked key at once. */
  statement(sql: Sql, writes: W[], wait: boolean): Fragment;
  /** Reads the outcome of each write from the rows of the statement. */
  outcomes(writes: W[], rows: Row[]): Outcome<Result>[];
  /** Reads a stored reply. */
  parseReply(reply: string, write: W, call: Call): Promise<Result>;
  /** About how many bytes the stored reply of a result takes. */
  replyBytes(result: Result): number;
  /** True if `adds` is exact, so that a full quota refuses the write before it reaches the database. */
  addsExactly: boolean;
}

const writeAttemptsMax = 10;

// A rival created a key or stored the same request id (23505), or deleted a user (23503), after the statement
// had looked. The statement was rolled back; its next attempt sees what the rival did.
const rivalCodes = new Set(["23505", "23503"]);

/** A kind of write: of entries, or of versions. */
export class WriteKind<W extends Write, Row extends object, Result>
  implements Batchable<W, Outcome<Result>>
{
  constructor(readonly parts: WriteKindParts<W, Row, Result>) {}

  weight(write: W): number {
    return write.weight;
  }

  conflictKeys(write: W): readonly ConflictKey[] {
    return write.conflictKeys;
  }

  /** Makes the writes in one statement, and runs it again if a rival was faster. */
  async run(
    run: Run,
    writes: W[],
    { wait = false, attempts = writeAttemptsMax } = {},
  ): Promise<Outcome<Result>[]> {
    const { statement, outcomes } = this.parts;
    for (let attempt = 1; ; attempt++) {
      try {
        return outcomes(writes, await run<Row>((sql) => statement(sql, writes, wait)));
      } catch (error) {
        const code = codeOf(error) ?? "";
        // lock_not_available: somebody is creating the same key.
        if (code === "55P03" && !wait && writes.length === 1) return ["locked"];
        if (!rivalCodes.has(code) || attempt >= attempts) throw error;
      }
    }
  }

  /** Makes one write in a statement of its own. */
  async runOne(run: Run, write: W, attempts?: number): Promise<Outcome<Result>> {
    const [outcome] = await this.run(run, [write], {
      wait: true,
      ...(attempts !== undefined && { attempts }),
    });
    return outcome as Outcome<Result>;
  }
}

/** Makes a write exactly once, and gives its result. Throws the reason if it is refused. */
export async function writeOnce<W extends Write, Row extends object, Result>(
  call: Call,
  kind: WriteKind<W, Row, Result>,
  given: W,
): Promise<Result> {
  const { db, server } = call;
  const { parseReply, replyBytes, addsExactly } = kind.parts;
  const { tenant, idempotencyKey, adds } = given;
  const room = await server.quotas.room(tenant, adds);
  const overQuota = room && addsExactly ? quotaRefusal(room, adds) : undefined;
  const write: W = room && !addsExactly ? { ...given, room } : given;
  const isBatchable = !write.room && write.weight <= batchWeightMax;
  const outcome = overQuota
    ? { refused: overQuota }
    : await retryWhileLocked(call, write, (wait) =>
        wait || !isBatchable ? kind.runOne(db.lockWaiting, write) : db.submit(kind, write),
      );
  if ("result" in outcome) {
    if (idempotencyKey) server.replies.note(tenant, replyBytes(outcome.result));
    return outcome.result;
  }
  if ("repeated" in outcome)
    return parseReply(matchReply(idempotencyKey, outcome.repeated), write, call);
  // An earlier attempt of this request may have committed and caused the refusal: then return its stored
  // reply.
  const reply = idempotencyKey && (await findStoredReply(db.short, tenant, idempotencyKey));
  if (reply === undefined) throw outcome.refused;
  return parseReply(reply, write, call);
}

/**
 * Tries until no key is locked any more. It waits in memory if the lock is held on this server. If it is held
 * elsewhere, one call for each key waits in the database, and the others wait in memory for that call.
 */
async function retryWhileLocked<Result>(
  { server: { locks }, signal }: Call,
  { keys, blockers }: Write,
  attempt: (wait: boolean) => Promise<Outcome<Result>>,
): Promise<Exclude<Outcome<Result>, "locked">> {
  let names = keys;
  for (let attempts = 1; ; attempts++) {
    const written = locks.isOwned(names) ? await locks.waitUntilFree(names, signal) : undefined;
    const outcome = await attempt(false).finally(() => written?.());
    if (outcome !== "locked") return outcome;
    names = [...keys, ...blockers];
    if (locks.isOwned(names)) continue;
    if (attempts <= 2) {
      // Most locks held elsewhere are of a single statement, which ends in a moment.
      await pause(attempts, undefined, { signal }).catch(() => {
        throw signal.reason;
      });
      continue;
    }
    const [key = ""] = keys;
    const owner = {};
    await locks.acquire(key, owner, signal);
    const waited = await attempt(true).finally(() => locks.release(key, owner));
    if (waited !== "locked") return waited;
  }
}
