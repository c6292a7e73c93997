// Locks that are held elsewhere, on another server or by a call that does not own its locks in memory, and how a
// call waits for them: without a connection, woken by the bus when they are released.
import type { Call } from "../grpc/call.js";

/** A call could not be done: the lock of this name in KeyLocks is held. */
export interface Locked {
  lockedBy: string;
}

// No type, id or namespace is empty, so these names equal no name of an entry, a record or a type.
/** The name in KeyLocks of a user. */
export const userLockName = (tenant: string, id: string): string => `${tenant}\0\0\0${id}`;
/** The name in KeyLocks of a request id, given by its digest. */
export const requestLockName = (tenant: string, id: string): string => `${tenant}\0\0\0\0${id}`;

export const isLocked = <T extends object>(outcome: T | Locked): outcome is Locked =>
  "lockedBy" in outcome;

const isBlockedBy = <T extends object>(name: string, outcome: T | Locked): boolean =>
  isLocked(outcome) && outcome.lockedBy === name;

const pauseMsMax = 250;
const waitFromMs = 16; // after so long a pause, an attempt may wait in the database

/**
 * Makes attempts until one finds the lock free, or finds another lock in its way. Of all calls of this server
 * that wait for the lock, one makes attempts; the others wait in memory behind it. An attempt with a name to
 * wait for waits in the database, for a moment only, so that the call gets its turn beside others who take
 * the lock again and again.
 */
export async function untilUnlocked<T extends object>(
  { server: { locks, bus }, db, signal }: Call,
  name: string,
  attempt: (waitFor?: string) => Promise<T | Locked>,
): Promise<T | Locked> {
  const owner = {};
  await locks.acquire(name, owner, signal);
  let pausedMs = 0;
  const wakeUps = bus.listen(name);
  try {
    for (let ms = 1; ; ms = Math.min(ms * 2, pauseMsMax)) {
      let outcome = await attempt();
      if (isBlockedBy(name, outcome) && ms >= waitFromMs && db.canWaitForLock)
        outcome = await attempt(name);
      if (!isBlockedBy(name, outcome)) return outcome;
      const pausedAt = performance.now();
      await wakeUps.next(ms * (0.5 + Math.random()), signal);
      pausedMs += performance.now() - pausedAt;
    }
  } finally {
    wakeUps.stop();
    locks.release(name, owner);
    if (pausedMs > 0) locks.telemetry?.waitedForLock(pausedMs);
  }
}
