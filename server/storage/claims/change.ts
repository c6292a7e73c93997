// Changes a claim for its holder: renews or releases it.
import { CortexError } from "../../errors/reasons.js";
import { codeOf } from "../../errors/sqlstate.js";
import type { Call } from "../../grpc/call.js";
import type { Fragment, Sql } from "../../postgres/connection.js";
import type { Guard } from "../guard.js";
import { type IdempotencyKey, once, runWork } from "../idempotency.js";
import { isLocked, untilUnlocked } from "../locks.js";
import { type ClaimRow, claimLockName } from "./claim.js";

/** A claim in a stored reply, whose times are milliseconds. */
type StoredClaim = Omit<ClaimRow, "acquired_at" | "expires_at"> & {
  acquired_at: number;
  expires_at: number;
};

/**
 * Runs a statement that changes the row `c` of the claim and returns it. Its row may be locked, by a write that the
 * claim guards: a statement waits only a moment for it. Throws CLAIM_NOT_HELD if it finds no row.
 */
export async function changeClaim(
  call: Call,
  held: Guard,
  key: IdempotencyKey | undefined,
  change: (sql: Sql, isHeld: Fragment) => Fragment,
): Promise<ClaimRow> {
  const { tenant, name, fence } = held;
  const lockName = claimLockName(tenant, name);
  const isHeld = (sql: Sql) =>
    sql`c.tenant = ${tenant} and c.name = ${name} and c.fence = ${fence} and c.expires_at > clock_timestamp()`;
  const ms = (sql: Sql, time: Fragment) => sql`round(extract(epoch from ${time}) * 1000)`;
  const changed = await once<StoredClaim>(call, key, {
    parse: (reply) => JSON.parse(reply),
    async attempt() {
      const outcome = await untilUnlocked(call, lockName, async () => {
        try {
          const done = await runWork<StoredClaim>(call.db.lockWaiting, tenant, key, (sql) => ({
            steps: sql`c as (${change(sql, isHeld(sql))})`,
            reply: sql`
              select case when c.user_id is null then '{}' else array[c.user_id] end as user_ids, json_build_object(
                'name', c.name, 'owner', c.owner, 'value', c.value::text, 'user_id', c.user_id, 'agent_id', c.agent_id, 'fence', c.fence::text,
                'acquired_at', ${ms(sql, sql`c.acquired_at`)}, 'expires_at', ${ms(sql, sql`c.expires_at`)}) as reply
              from c`,
          }));
          return { done };
        } catch (error) {
          if (codeOf(error) !== "55P03") throw error; // lock_not_available
          return { lockedBy: lockName };
        }
      });
      return isLocked(outcome) ? undefined : outcome.done;
    },
  });
  if (!changed) throw new CortexError("CLAIM_NOT_HELD", { claim: name, fence });
  const { acquired_at, expires_at, ...rest } = changed;
  return { ...rest, acquired_at: new Date(acquired_at), expires_at: new Date(expires_at) };
}
