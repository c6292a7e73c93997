// The guard of a write: the claim that its caller must hold. Whoever writes under a claim locks its row until the
// write has ended, so the claim cannot pass to anybody else before.
import type { Guard as GuardMessage } from "../../../gen/cortex/claims/v1/guard_pb.js";
import { CortexError } from "../../errors/reasons.js";
import type { Fragment, Run, Sql } from "../../postgres/connection.js";
import { recordset } from "../../postgres/recordset.js";
import type { Guard } from "../guard.js";
import { parseHeld } from "./claim.js";

export type { Guard } from "../guard.js";

export const parseGuard = (tenant: string, guard: GuardMessage | undefined): Guard | undefined =>
  guard && parseHeld(tenant, guard, "claim.");

export const fenceStale = ({ name, fence }: Guard): CortexError =>
  new CortexError("FENCE_STALE", { claim: name, fence });

const guardRows = recordset("asked", {
  write: "int",
  tenant: "text",
  name: "text",
  fence: "bigint",
});

/**
 * Selects, for each write that has a guard, `write` and `refusal`: null if its claim is held, CLAIM_LOCKED if its row
 * is locked by others (it is being acquired, renewed or released), else FENCE_STALE. It locks the rows of the
 * claims, in the order of their names. Expiry is judged after the lock.
 */
export function guards(
  sql: Sql,
  writes: { guard?: Guard | undefined }[],
  skipsLocked: boolean,
): Fragment {
  const rows = writes
    .flatMap(({ guard }, write) => (guard ? [{ write, ...guard }] : []))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return sql`
    select asked.write, case
        when held.fence = asked.fence and held.expires_at > clock_timestamp() then null
        when held.fence is null and exists (select from claim c where c.tenant = asked.tenant and c.name = asked.name) then 'CLAIM_LOCKED'
        else 'FENCE_STALE' end as refusal
    from ${guardRows(sql, rows)}
    left join lateral (
      select c.fence, c.expires_at from claim c where c.tenant = asked.tenant and c.name = asked.name
      for share ${skipsLocked ? sql`skip locked` : sql``}
    ) as held on true`;
}

/** Locks the claim of a transaction until the transaction ends. Throws FENCE_STALE if it is not held. */
export async function lockGuard(run: Run, guard: Guard): Promise<void> {
  const [row] = await run<{ refusal: string | null }>((sql) => guards(sql, [{ guard }], false));
  if (row?.refusal != null) throw fenceStale(guard);
}

/** The same for Commit and Transact, which fail with TRANSACTION_FAILED. */
export async function checkGuard(run: Run, guard: Guard): Promise<void> {
  await lockGuard(run, guard).catch((error: unknown) => {
    throw error instanceof CortexError && error.reason === "FENCE_STALE"
      ? transactionStale(guard)
      : error;
  });
}

/** The error of a transaction whose claim is not held. It names no operation. */
export function transactionStale(guard: Guard): CortexError {
  const { reason, message, details } = fenceStale(guard);
  return new CortexError("TRANSACTION_FAILED", { ...details, reason, problem: message });
}
