// Purges and erasures: each runs once, in one transaction with its record in the audit trail.
import type { Call } from "../../grpc/call.js";
import type { Run, Sql } from "../../postgres/connection.js";
import { type Guard, lockGuard } from "../claims/guard.js";
import { findStoredReply, type IdempotencyKey, once, runWork, type Work } from "../idempotency.js";
import { type AuditEntry, audit } from "./audit.js";

/** Answers a request once with what `work` gives in a transaction; undefined: the work refused it. */
export function purgeTransaction<Reply extends object>(
  call: Call,
  key: IdempotencyKey | undefined,
  { removal, guard }: { removal: "purge" | "erase"; guard?: Guard | undefined },
  work: (run: Run) => Promise<Reply | undefined>,
): Promise<Reply | undefined> {
  return once<Reply>(call, key, {
    parse: (reply) => JSON.parse(reply),
    async attempt() {
      const transaction = await call.db.beginPurge();
      try {
        if (guard) await lockGuard(transaction.run, guard);
        await noteRemoval(call, transaction.run, removal);
        const reply = await work(transaction.run);
        await transaction.commit();
        return reply;
      } catch (error) {
        await transaction.rollback();
        throw error;
      } finally {
        call.server.bus.publishAll(); // it may have locked anything, and changed anything
      }
    },
  });
}

/** Says for the log of changes what removes rows in this transaction, and who. */
async function noteRemoval({ caller }: Call, run: Run, removal: string): Promise<void> {
  const agents = removal === "purge" && caller.agent !== undefined ? { "": caller.agent } : {};
  await run(
    (sql) =>
      sql`select set_config('cortex.removal', ${removal}, true), set_config('cortex.removed_by', ${JSON.stringify(agents)}, true)`,
  );
}

interface Purge<Reply> {
  key: IdempotencyKey | undefined;
  /** The claim that the caller must hold. */
  guard: Guard | undefined;
  /** True if it only counts. Then it stores no reply and leaves no record. */
  dryRun?: boolean;
  work: (sql: Sql) => Work;
  /** The record for the audit trail; undefined where nothing was deleted. */
  auditEntry: (reply: Reply) => AuditEntry | undefined;
}

/**
 * The reply of a purge that is one statement; undefined where the statement refused it, and deleted nothing.
 */
export async function purge<Reply extends object>(
  call: Call,
  { key, guard, dryRun = false, work, auditEntry }: Purge<Reply>,
): Promise<Reply | undefined> {
  const { tenant } = call.caller;
  if (dryRun) {
    if (key) await findStoredReply(call.db.short, tenant, key); // refuses a reused request id
    return runWork<Reply>(call.db.purges, tenant, undefined, work);
  }
  return purgeTransaction<Reply>(call, key, { removal: "purge", guard }, async (run) => {
    const reply = await runWork<Reply>(run, tenant, key, work);
    const entry = reply && auditEntry(reply);
    if (entry) await audit(call, run, entry);
    return reply;
  });
}
