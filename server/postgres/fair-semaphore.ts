// A semaphore with a queue: places are given in order of arrival, the queue is bounded, and nobody holds more
// places than a fair share.
import { CortexError } from "../errors/reasons.js";

/** The error for a caller who comes when the queue is full. */
export const overloaded = (limit: number): CortexError =>
  new CortexError("OVERLOADED", { applied: "no", limit: `${limit}`, retry_after_ms: "100" });

interface Waiter {
  holder: string;
  go(): void;
}

export class FairSemaphore {
  #free: number;
  readonly #held = new Map<string, number>();
  readonly #waiters = new Set<Waiter>();

  constructor(
    places: number,
    /** How many places one holder may have. */
    readonly perHolderMax: number,
    readonly waitersMax: number,
    /** Told how long a caller waited. */
    readonly onWaited: (ms: number) => void = () => {},
  ) {
    this.#free = places;
  }

  /**
   * Waits for a place. Fails with the signal's reason when it aborts first, with OVERLOADED when too many
   * wait.
   */
  async acquire(signal: AbortSignal, holder: string): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0 && this.#mayHold(holder)) return this.#take(holder);
    if (this.#waiters.size >= this.waitersMax) throw overloaded(this.waitersMax);
    const startedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      const waiter = {
        holder,
        go() {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.#waiters.delete(waiter);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiters.add(waiter);
    }).finally(() => this.onWaited(performance.now() - startedAt));
  }

  release(holder: string): void {
    const held = (this.#held.get(holder) ?? 1) - 1;
    if (held > 0) this.#held.set(holder, held);
    else this.#held.delete(holder);
    this.#free++;
    // A Set keeps its order: the first who may hold a place is the oldest.
    for (const waiter of this.#waiters)
      if (this.#mayHold(waiter.holder)) {
        this.#waiters.delete(waiter);
        this.#take(waiter.holder);
        waiter.go();
        return;
      }
  }

  #mayHold(holder: string): boolean {
    return (this.#held.get(holder) ?? 0) < this.perHolderMax;
  }

  #take(holder: string): void {
    this.#free--;
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + 1);
  }
}
