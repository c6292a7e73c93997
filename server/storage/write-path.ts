// The way of a write to keys that may be locked: together with others, unless a key is locked. Then it waits for the key in memory if
// the lock is held on this server, else in the database, one call a key.
import { setTimeout as pause } from "node:timers/promises";
import type { Call } from "../grpc/call.js";

interface Ways<Outcome> {
  /** The keys, as names in the memory of this server. */
  names: string[];
  /** What else may have kept it from them, where it found one locked. */
  others?: string[];
  /** Tries without waiting for a lock. */
  together(): Promise<Outcome | "locked">;
  /** Waits for the locks in the database. */
  alone(): Promise<Outcome | "locked">;
}

export async function untilUnlocked<Outcome>(
  { locks, signal }: Call,
  { names, others = [], together, alone }: Ways<Outcome>,
): Promise<Outcome> {
  let all = names;
  for (let attempt = 1; ; attempt++) {
    const passed = locks.isOwned(all) ? await locks.waitUntilFree(all, signal) : undefined;
    const outcome = await together().finally(() => passed?.());
    if (outcome !== "locked") return outcome;
    all = [...names, ...others];
    if (locks.isOwned(all)) continue;
    // Another server's statement is done in a moment.
    if (attempt <= 2)
      await pause(attempt, undefined, { signal }).catch(() => {
        throw signal.reason;
      });
    else {
      // On behalf of all who want the first of the keys.
      const [name = ""] = names;
      const owner = {};
      await locks.acquire(name, owner, signal);
      const outcome = await alone().finally(() => locks.release(name, owner));
      if (outcome !== "locked") return outcome;
    }
  }
}
