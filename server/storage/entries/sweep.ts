// Reclaims the space of expired entries, in bounded statements, one server at a time (an advisory lock of the
// transaction).
import type { Run } from "../../postgres/connection.js";

const sweepLock = 0x73776570; // "swep"
const batchMax = 1000;

/** Deletes expired entries. Returns how many. */
export async function sweepEntries(run: Run): Promise<number> {
  for (let total = 0; ; ) {
    const [row] = await run<{ count: string }>(
      (sql) => sql`
        with lock as materialized (select pg_try_advisory_xact_lock(${sweepLock}) as is_ours),
        expired as materialized (
          select m.tenant, m.namespace, m.key from mutable m
          where m.expire_at <= statement_timestamp() and (select is_ours from lock)
          order by m.expire_at limit ${batchMax}
          for update skip locked
        ),
        deleted as (
          delete from mutable m using expired
          where (m.tenant, m.namespace, m.key) = (expired.tenant, expired.namespace, expired.key)
          returning 1
        )
        select count(*) as count from deleted`,
    );
    const count = Number(row?.count ?? 0);
    total += count;
    if (count < batchMax) return total;
  }
}
