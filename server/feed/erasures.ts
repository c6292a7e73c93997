// The users that were erased lately: what is still to be sent of them is not sent. The log names them by digests.
import { createHash } from "node:crypto";
import type { Change } from "./log.js";
import { isVisible } from "./snapshot.js";
import type { Item } from "./watcher.js";

const keptMs = 120_000; // how long a page may take from its read to a queue, and more

interface Erasure {
  tenant: string;
  digest: string;
  xid: bigint;
  readAt: number;
}

export class Erasures {
  /** That of the feed: see FeedState. */
  secret = "";
  #latest: Erasure[] = [];

  /** Notes an erasure, as the log has it. */
  note({ tenant, value, xid }: Change): void {
    const now = performance.now();
    const digest = JSON.parse(value ?? '""') as string;
    this.#latest = this.#latest.filter(({ readAt }) => now - readAt < keptMs);
    this.#latest.push({ tenant, digest, xid: BigInt(xid), readAt: now });
  }

  /**
   * True if the user of the change was erased after it was read. (A new user may have the same id.) `digests` keeps the
   * digests of users of one tenant, for many items.
   */
  cover(
    { change: { tenant, user_id }, batch }: Item,
    digests = new Map<string, string>(),
  ): boolean {
    if (user_id === null) return false;
    const later = this.#latest.filter(
      (erasure) => erasure.tenant === tenant && !isVisible(batch.to, erasure.xid),
    );
    if (later.length === 0) return false;
    const digest = digests.get(user_id) ?? digestOf(this.secret, tenant, user_id);
    digests.set(user_id, digest);
    return later.some((erasure) => erasure.digest === digest);
  }
}

/** What stands for a user in the log once the user is erased. The database computes the same (users/erase.ts). */
const digestOf = (secret: string, tenant: string, id: string): string =>
  createHash("sha256").update(`${secret}\u0001${tenant}\u0001${id}`).digest("hex");
