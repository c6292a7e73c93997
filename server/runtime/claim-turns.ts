// Who waits for claims on this server. Of those who wait for one claim, the first makes attempts; the others wait in
// memory behind it. All have their places in the database, so that the order holds across servers: the
// server says every now and then that they are still there.
import { overloaded } from "../postgres/fair-semaphore.js";

/** A place in the queue for a claim. */
export interface Place {
  tenant: string;
  name: string;
  /** The id under which the database knows it. */
  id: string;
}

interface Waiting extends Place {
  wake(): void;
}

export interface Turn {
  /** Resolves when it is the first, or after `ms`; fails when the signal aborts. */
  first(ms: number, signal: AbortSignal): Promise<void>;
  leave(): void;
}

export class ClaimTurns {
  /** By claim, in the order of arrival. */
  readonly #queues = new Map<string, Set<Waiting>>();
  readonly #byTenant = new Map<string, number>();

  constructor(
    /** How many may wait of one tenant. */
    readonly waitersMax: number,
  ) {}

  /** All places of this server. */
  get places(): Place[] {
    return [...this.#queues.values()].flatMap((queue) => [...queue]);
  }

  enter(place: Place): Turn {
    const { tenant } = place;
    const count = this.#byTenant.get(tenant) ?? 0;
    if (count >= this.waitersMax) throw overloaded(this.waitersMax);
    this.#byTenant.set(tenant, count + 1);
    const key = `${tenant}\0${place.name}`;
    const queue = this.#queues.get(key) ?? new Set();
    this.#queues.set(key, queue);
    const waiting: Waiting = { ...place, wake: () => {} };
    queue.add(waiting);
    return {
      first: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (firstOf(queue) === waiting) return resolve();
          const end = (settle: () => void) => {
            clearTimeout(timer);
            signal.removeEventListener("abort", abort);
            waiting.wake = () => {};
            settle();
          };
          const abort = () => end(() => reject(signal.reason));
          const timer = setTimeout(() => end(resolve), ms);
          waiting.wake = () => end(resolve);
          signal.addEventListener("abort", abort, { once: true });
          if (signal.aborted) abort();
        }),
      leave: () => {
        if (!queue.delete(waiting)) return;
        const left = (this.#byTenant.get(tenant) ?? 1) - 1;
        if (left > 0) this.#byTenant.set(tenant, left);
        else this.#byTenant.delete(tenant);
        if (queue.size === 0 && this.#queues.get(key) === queue) this.#queues.delete(key);
        firstOf(queue)?.wake();
      },
    };
  }
}

function firstOf<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item;
  return undefined;
}
