// Deletes records of the audit trail that are older than `--audit-days`, in bounded statements, one server at
// a time.
import type { Run } from "../../postgres/connection.js";
import { auditType } from "./audit.js";

const sweepLock = 0x61756469; // "audi"
const batchMax = 1000;

/** Deletes records older than `days` days; 0 keeps all. Returns how many records it deleted. */
export async function sweepAudit(run: Run, days: number): Promise<number> {
  if (days === 0) return 0;
  for (let total = 0; ; ) {
    const deleted = await run(
      (sql) => sql`
        with lock as materialized (
          select pg_try_advisory_xact_lock(${sweepLock}) as is_ours, set_config('cortex.removal', 'expire', true)
        ),
        old as materialized (
          select h.tenant, h.id from immutable h
          where h.type = ${auditType} and h.created_at < statement_timestamp() - ${days}::float8 * interval '1 day'
            and (select is_ours from lock)
          order by h.created_at limit ${batchMax}
          for update skip locked
        )
        delete from immutable h using old
        where h.tenant = old.tenant and h.type = ${auditType} and h.id = old.id returning 1`,
    );
    total += deleted.length;
    if (deleted.length < batchMax) return total;
  }
}
