// How anything is purged: once, in a transaction with its record in the tenant's audit log, and again where the database gave up on it to
// resolve a conflict.
import { type AuditEntry, audit } from "./audit.js";
import type { Call } from "./call.js";
import type { Sql } from "./connection.js";
import { CortexError, codeOf } from "./errors.js";
import { doneOnce, keptReply, once, type RequestKey, type Work } from "./request.js";

const attemptsMax = 5;

interface Purge<Reply> {
  request: RequestKey | undefined;
  /** Whether it only counts. */
  dryRun?: boolean;
  work: (sql: Sql) => Work;
  /** What the log says of it; undefined: nothing, since nothing was deleted. */
  entry: (reply: Reply) => AuditEntry | undefined;
}

/** The reply of a purge; undefined where its statement gave none, so did nothing. */
export async function purging<Reply extends object>(
  call: Call,
  { request, dryRun = false, work, entry }: Purge<Reply>,
): Promise<Reply | undefined> {
  const { tenant } = call;
  const past = async () => {
    const kept = request && (await keptReply(call.run, tenant, request));
    return kept === undefined ? undefined : (JSON.parse(kept) as Reply);
  };
  if (dryRun) {
    await past(); // which refuses an id that was used for something else
    return once<Reply>(call.purges, tenant, undefined, work); // what changes nothing is counted anew, and kept nowhere
  }
  for (let attempt = 1; ; attempt++) {
    const before = await past();
    if (before) return before;
    const transaction = await call.beginPurge();
    try {
      const reply = await doneOnce<Reply>(transaction.run, tenant, request, work);
      const logged = reply && entry(reply);
      if (logged) await audit(call, transaction.run, logged);
      await transaction.commit();
      if (reply) return reply;
      return await past(); // what refuses it may be what a repeat of it has done
    } catch (error) {
      await transaction.rollback();
      const code = codeOf(error) ?? "";
      const rival = ["40P01", "40001", "23505", "23503"].includes(code);
      const conflict = error instanceof CortexError && error.reason === "CONFLICT";
      if ((!rival && !conflict) || attempt >= attemptsMax) throw error;
    }
  }
}
