// How anything is purged or erased: once, in a transaction with its record in the tenant's audit log, and again where the database gave up
// on it to resolve a conflict.

import { CortexError, codeOf } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import type { Run, Sql } from "../../postgres/connection.js";
import { doneOnce, findStoredReply, type IdempotencyKey, once, type Work } from "../idempotency.js";
import { type AuditEntry, audit } from "./audit.js";

const attemptsMax = 5;

// A deadlock or another conflict; a rival who committed the same request id, or whose user went.
const rivals = new Set(["40P01", "40001", "23505", "23503"]);

/** Does the work in a transaction, unless the request was made before: then that reply is given, as where the work gives none. */
export async function purgeTransaction<Reply>(
  call: Call,
  request: IdempotencyKey | undefined,
  work: (run: Run) => Promise<Reply | undefined>,
): Promise<Reply | undefined> {
  for (let attempt = 1; ; attempt++) {
    const before = await past<Reply>(call, request);
    if (before) return before;
    const transaction = await call.beginPurge();
    try {
      const reply = await work(transaction.run);
      await transaction.commit();
      return reply ?? (await past<Reply>(call, request)); // what refuses it may be what a repeat of it has done
    } catch (error) {
      await transaction.rollback();
      const conflict = error instanceof CortexError && error.reason === "CONFLICT";
      if ((!conflict && !rivals.has(codeOf(error) ?? "")) || attempt >= attemptsMax) throw error;
    }
  }
}

/** The reply to the same request made before. */
async function past<Reply>({ run, tenant }: Call, request: IdempotencyKey | undefined) {
  const kept = request && (await findStoredReply(run, tenant, request));
  return kept === undefined ? undefined : (JSON.parse(kept) as Reply);
}

interface Purge<Reply> {
  request: IdempotencyKey | undefined;
  /** Whether it only counts. */
  dryRun?: boolean;
  work: (sql: Sql) => Work;
  /** What the log says of it; undefined: nothing, since nothing was deleted. */
  entry: (reply: Reply) => AuditEntry | undefined;
}

/** The reply of a purge that is one statement; undefined where that gave none, so did nothing. */
export async function purging<Reply extends object>(
  call: Call,
  { request, dryRun = false, work, entry }: Purge<Reply>,
): Promise<Reply | undefined> {
  const { tenant } = call;
  if (dryRun) {
    await past(call, request); // which refuses an id that was used for something else
    return once<Reply>(call.purges, tenant, undefined, work); // what changes nothing is counted anew, and kept nowhere
  }
  return purgeTransaction<Reply>(call, request, async (run) => {
    const reply = await doneOnce<Reply>(run, tenant, request, work);
    const logged = reply && entry(reply);
    if (logged) await audit(call, run, logged);
    return reply;
  });
}
