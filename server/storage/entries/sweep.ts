// Deletes expired entries, which announces their expiry to those who watch: in bounded statements, one server at
// a time (an advisory lock of the transaction).
import type { Run } from "../../postgres/connection.js";

export const sweepLock = 0x73776570; // "swep"
const batchMax = 1000;
const batchesMax = 5; // more wait for the next second

/** Deletes up to 5000 entries that have expired, those that expired first. Returns how many. */
export async function sweepEntries(run: Run): Promise<number> {
  let total = 0;
  for (let batch = 0; batch < batchesMax; batch++) {
    const [row] = await run<{ count: string }>(
      (sql) => sql`
        with lock as materialized (
          select pg_try_advisory_xact_lock(${sweepLock}) as is_ours, set_config('cortex.removal', 'expire', true)
        ),
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
    if (count < batchMax) break;
  }
  return total;
}
