// The one write path, for entries and for versions. A write joins a batch. If a key is locked, the write
// waits for the key and tries again. A repeat (same request id) gets the stored reply of the attempt that was
// applied:
//   - If that attempt has committed, the statement of the repeat finds the reply.
//   - If that attempt still runs on this server, the repeat waits until the batch of the attempt has ended,
//     because the request id is a conflict key.
//   - If that attempt still runs on another server, the repeat finds the request id locked, waits, and tries
//     again. Then it finds the reply.
import type { CortexError } from "../errors/reasons.js";
import { codeOf } from "../errors/sqlstate.js";
import type { Call } from "../grpc/call.js";
import type { Fragment, Run, Sql } from "../postgres/connection.js";
import { type Batchable, batchWeightMax, type ConflictKey } from "../runtime/group-commit.js";
import { type Amounts, quotaRefusal, type Room } from "../runtime/quotas.js";
import type { Locking } from "./creation.js";
import type { Guard } from "./guard.js";
import {
  findStoredReply,
  type IdempotencyKey,
  matchReply,
  type StoredReply,
} from "./idempotency.js";
import { isLocked, type Locked, untilUnlocked } from "./locks.js";

/** The fields of every kind of write. */
export interface Write {
  tenant: string;
  idempotencyKey: IdempotencyKey | undefined;
  /** The names of its keys in KeyLocks. */
  keys: readonly string[];
  conflictKeys: readonly ConflictKey[];
  /** Its share of a batch's weight. */
  weight: number;
  /** The most that it adds to the amounts of its tenant. */
  adds: Amounts;
  /** The room that its tenant has left, if it is near a limit: then the statement must check it. */
  room?: Room | undefined;
  /** The claim that its caller must hold. */
  guard?: Guard | undefined;
}

/** The outcome of a write. */
export type Outcome<Result> =
  | { result: Result }
  /** Nothing was written. `index` is the operation that was refused. */
  | { refused: CortexError; index: number }
  /** An attempt under the same request id was applied before. */
  | { repeated: StoredReply }
  /** Nothing was written: the lock is held by others. */
  | Locked;

/** `large`: nothing was written. The write takes too long for a statement that others share. */
export type BatchOutcome<Result> = Outcome<Result> | "large";

interface WriteKindParts<W extends Write, Row extends object, Result> {
  /** The statement that makes the writes. */
  statement(sql: Sql, writes: W[], mode: StatementMode): Fragment;
  /** The parts of a batch that are statements of their own: see Batchable. */
  separate?(writes: W[]): number[][];
  /** Reads the outcome of each write from the rows of the statement. */
  outcomes(writes: W[], rows: Row[]): BatchOutcome<Result>[];
  /** Reads a stored reply. */
  parseReply(reply: string, write: W, call: Call): Promise<Result>;
  /** About how many bytes the stored reply of a result takes. */
  replyBytes(result: Result): number;
  /** True if `adds` is exact, so that a full quota refuses the write before it reaches the database. */
  addsExactly: boolean;
  /** What a write has added, if that may be far less than its `adds`. */
  added?(result: Result): Amounts;
}

export interface StatementMode {
  locking: Locking;
  /** True if other calls may share the statement: it must not take long. */
  shared: boolean;
}

const writeAttemptsMax = 10;

// A rival created a key or stored the same request id (23505), or deleted a user (23503), after the statement
// had looked. The statement was rolled back; its next attempt sees what the rival did.
const rivalCodes = new Set(["23505", "23503"]);

/** A kind of write: of entries, or of versions. */
export class WriteKind<W extends Write, Row extends object, Result>
  implements Batchable<W, BatchOutcome<Result>>
{
  readonly lane = "writes";

  constructor(readonly parts: WriteKindParts<W, Row, Result>) {}

  weight(write: W): number {
    return write.weight;
  }

  conflictKeys(write: W): readonly ConflictKey[] {
    return write.conflictKeys;
  }

  separate(writes: W[]): number[][] {
    return this.parts.separate?.(writes) ?? [writes.map((_, i) => i)];
  }

  /** Makes the writes of a batch in one statement. */
  run(run: Run, writes: W[]): Promise<BatchOutcome<Result>[]> {
    return this.#run(run, writes, { locking: "try", shared: true });
  }

  /** Makes writes in a statement of their own. */
  async runAlone(
    run: Run,
    writes: W[],
    locking: Locking,
    attempts?: number,
  ): Promise<Outcome<Result>[]> {
    const outcomes = await this.#run(run, writes, { locking, shared: false }, attempts);
    return outcomes as Outcome<Result>[];
  }

  /** Makes one write in a statement of its own. */
  async runOne(run: Run, write: W, locking: Locking, attempts?: number): Promise<Outcome<Result>> {
    const [outcome] = await this.runAlone(run, [write], locking, attempts);
    return outcome as Outcome<Result>;
  }

  /** Runs the statement, and runs it again if a rival was faster. */
  async #run(
    run: Run,
    writes: W[],
    mode: StatementMode,
    attempts = writeAttemptsMax,
  ): Promise<BatchOutcome<Result>[]> {
    const { statement, outcomes } = this.parts;
    for (let attempt = 1; ; attempt++) {
      try {
        return outcomes(writes, await run<Row>((sql) => statement(sql, writes, mode)));
      } catch (error) {
        const code = codeOf(error) ?? "";
        // lock_not_available: it waited for a lock that is not one of those it tries, such as a table's.
        if (code === "55P03" && mode.locking === "try" && writes.length === 1)
          return [{ lockedBy: writes[0]?.keys[0] as string }];
        if (!rivalCodes.has(code) || attempt >= attempts) throw error;
      }
    }
  }
}

/**
 * Makes a write exactly once, and gives its result. Throws the reason if it is refused. Nearly all writes end with their
 * first attempt, in a batch.
 */
export async function writeOnce<W extends Write, Row extends object, Result>(
  call: Call,
  kind: WriteKind<W, Row, Result>,
  write: W,
): Promise<Result> {
  const { db, server } = call;
  const { parseReply, replyBytes } = kind.parts;
  const { tenant, idempotencyKey } = write;
  const isUsual =
    write.weight <= batchWeightMax &&
    !server.quotas.limit(write.adds) &&
    !server.locks.isOwned(write.keys);
  let outcome = isUsual ? await db.submit(kind, write) : undefined;
  if (outcome === undefined || outcome === "large" || isLocked(outcome))
    outcome = await writeInAttempts(call, kind, write, outcome);
  if ("result" in outcome) {
    server.feed.announce();
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

/** Makes a write in as many attempts as it needs, of which the first may have been made, within the quotas of its tenant. */
async function writeInAttempts<W extends Write, Row extends object, Result>(
  call: Call,
  kind: WriteKind<W, Row, Result>,
  given: W,
  first: Locked | "large" | undefined,
): Promise<Exclude<Outcome<Result>, Locked>> {
  const { db, server } = call;
  const { addsExactly, added } = kind.parts;
  const { tenant, adds } = given;
  const reservation = await server.quotas.reserve(tenant, adds);
  const room = reservation?.room;
  const overQuota = room && addsExactly ? quotaRefusal(room, adds) : undefined;
  const write: W = room && !addsExactly ? { ...given, room } : given;
  let isLarge = first === "large" || write.room !== undefined || write.weight > batchWeightMax;
  const attempt = async (waitFor?: string): Promise<Outcome<Result>> => {
    if (waitFor !== undefined) {
      const locked = { lockedBy: waitFor };
      if (isLarge) return locked; // it would hold a connection of lock waits for long
      return kind.runOne(db.lockWaiting, write, "wait").catch((error: unknown) => {
        if (codeOf(error) === "55P03") return locked; // it has waited as long as it may
        throw error;
      });
    }
    const outcome = isLarge ? "large" : await db.submit(kind, write);
    if (outcome !== "large") return outcome;
    isLarge = true;
    return kind.runOne(db.large, write, "try");
  };
  const attempts = async () => {
    if (overQuota) return { refused: overQuota, index: 0 };
    const locked = first === "large" ? undefined : first;
    const outcome = await retryWhileLocked(call, write, attempt, locked);
    if (added && "result" in outcome) reservation?.settle(added(outcome.result));
    return outcome;
  };
  return attempts().finally(() => reservation?.release());
}

/**
 * Tries until no lock is in the way. It waits in memory if the lock is held on this server. If it is held
 * elsewhere, one call for each lock makes attempts, and the others wait in memory for that call.
 */
async function retryWhileLocked<Done extends object>(
  call: Call,
  { keys }: Write,
  attempt: (waitFor?: string) => Promise<Done | Locked>,
  /** What the first attempt found, if it was made. */
  first?: Locked,
): Promise<Done> {
  const { locks } = call.server;
  let names = keys;
  for (let before = first; ; before = undefined) {
    const written =
      before || !locks.isOwned(names) ? undefined : await locks.waitUntilFree(names, call.signal);
    const outcome = before ?? (await attempt().finally(() => written?.()));
    if (!isLocked(outcome)) return outcome;
    names = [...keys, outcome.lockedBy];
    if (locks.isOwned(names)) continue;
    const next = await untilUnlocked(call, outcome.lockedBy, attempt);
    if (!isLocked(next)) return next;
    names = [...keys, next.lockedBy];
  }
}
