// Holds a claim while a function runs.
import { CortexError } from "../core/error.js";
import type { Claim } from "./claim.js";

const retryMs = 200;

/** Runs the function. Renews the claim meanwhile, and releases it at the end. */
export async function hold<T>(
  claim: Claim,
  ttlSeconds: number,
  work: (claim: Claim) => Promise<T> | T,
): Promise<T> {
  const ttlMs = ttlSeconds * 1000;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  // After a long wait `grantedAt` is far too early: then the time counts from the arrival of the reply, which is late
  // by the time that the reply took.
  const heldAt = performance.now();
  const endsAt = () => Math.max(claim.grantedAt, heldAt) + ttlMs;
  const lose = (reason: unknown) => {
    isOver = true;
    clearTimeout(timer);
    claim.lose(reason);
  };
  const renew = async () => {
    const leftMs = endsAt() - performance.now();
    if (leftMs <= 0) {
      lose(
        new CortexError("CLAIM_NOT_HELD", `the claim ${claim.name} could not be renewed in time`),
      );
      return;
    }
    try {
      await claim.renew({ ttlSeconds, timeoutMs: leftMs });
      if (!isOver) plan(ttlMs / 3);
    } catch (error) {
      if (isOver) return;
      if (error instanceof CortexError && error.code === "CLAIM_NOT_HELD") lose(error);
      else plan(Math.min(retryMs, endsAt() - performance.now()));
    }
  };
  const plan = (ms: number) => {
    timer = setTimeout(() => void renew(), Math.min(Math.max(ms, 1), 2_147_483_647));
  };
  plan(ttlMs / 3 - (heldAt - claim.grantedAt));
  try {
    return await work(claim);
  } finally {
    isOver = true;
    clearTimeout(timer);
    // If it cannot be released, its time will be over.
    if (!claim.signal.aborted) await claim.release().catch(() => {});
  }
}
