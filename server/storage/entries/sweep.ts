// Reclaims the space of expired entries, in bounded statements, one server at a time (an advisory lock of the transaction).
import type { Run } from "../../postgres/connection.js";

const sweepLock = 0x73776570; // "swep"
const batchMax = 1000;

/** Deletes what has expired; returns how many entries that were. */
export async function sweep(run: Run): Promise<number> {
  for (let swept = 0; ; ) {
    const [row] = await run<{ count: string }>(
      (sql) => sql`
        with turn as materialized (select pg_try_advisory_xact_lock(${sweepLock}) as ours),
        expired as materialized (
          select m.tenant, m.namespace, m.key from mutable m
          where m.expire_at <= statement_timestamp() and (select ours from turn)
          order by m.expire_at limit ${batchMax}
          for update skip locked
        ),
        gone as (
          delete from mutable m using expired
          where (m.tenant, m.namespace, m.key) = (expired.tenant, expired.namespace, expired.key)
          returning 1
        )
        select count(*) as count from gone`,
    );
    const count = Number(row?.count ?? 0);
    swept += count;
    if (count < batchMax) return swept;
  }
}
