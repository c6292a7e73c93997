// Deletes claims whose time is over, and places of waiters that are gone, in bounded statements.
import type { Run } from "../../postgres/connection.js";

const batchMax = 1000;

/** Returns how many claims it deleted. */
export async function sweepClaims(run: Run): Promise<number> {
  await run(
    (sql) =>
      sql`delete from claim_waiter w where w.seen_at < statement_timestamp() - interval '1 minute'`,
  );
  for (let total = 0; ; ) {
    const deleted = await run(
      (sql) => sql`
        with over as materialized (
          select c.tenant, c.name from claim c where c.expires_at <= statement_timestamp()
          order by c.expires_at limit ${batchMax}
          for update skip locked
        )
        delete from claim c using over where c.tenant = over.tenant and c.name = over.name returning 1`,
    );
    total += deleted.length;
    if (deleted.length < batchMax) return total;
  }
}
