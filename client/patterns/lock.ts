// Locks: one holder at a time. A holder that has lost the lock cannot write through it any more.

import type { Claim } from "../claims/claim.js";
import { CortexError } from "../core/error.js";
import type { Surface } from "../scopes/scope.js";

export interface LockOptions {
  /** Seconds after which the lock of a process that died is free. Default: 300. */
  ttlSeconds?: number | undefined;
  /** Milliseconds to wait for the lock, in the order of arrival. Default: 0. */
  waitMs?: number | undefined;
  /** Who holds it, for others to see. Default: the `agentId` of the client. */
  owner?: string | undefined;
}

/**
 * Runs a function while it holds the lock of a resource. The lock is renewed meanwhile, and released at the end. What
 * is written through `lock.mutable`, `lock.immutable`, `lock.events` and `lock.streams` fails with FENCE_STALE once
 * this caller does not hold the lock any more.
 *
 * @returns What the function returns.
 * @throws CortexError CLAIM_NOT_HELD if the resource is locked (`details.owner`: by whom), and what the function
 * throws.
 *
 * ```ts
 * await withLock(cortex, "report", async (lock) => lock.mutable.set("reports", "today", await build()));
 * ```
 */
export async function withLock<T>(
  cortex: Surface,
  resource: string,
  work: (lock: Claim) => Promise<T> | T,
  { ttlSeconds = 300, waitMs = 0, owner }: LockOptions = {},
): Promise<T> {
  const name = `lock:${resource}`;
  const options = { ttlSeconds, waitMs, ...(owner !== undefined && { owner }) };
  const outcome = await cortex.claims.with(name, options, async (claim) => ({
    value: await work(claim),
  }));
  if (outcome) return outcome.value;
  const held = await cortex.claims.get(name);
  throw new CortexError(
    "CLAIM_NOT_HELD",
    `${resource} is locked${held ? ` by ${held.owner}` : ""}`,
    {
      claim: name,
      ...(held && { owner: held.owner }),
    },
  );
}
