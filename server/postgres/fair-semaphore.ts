// A number of places, and those who wait for one, in order: who gives up leaves the queue. No more wait than may: whoever comes then is
// told at once. No one holds more than his share.
import { CortexError } from "../errors/reasons.js";

/** Too many wait already. */
export const overloaded = (limit: number): CortexError =>
  new CortexError("OVERLOADED", { applied: "no", limit: `${limit}`, retry_after_ms: "100" });

interface Waiter {
  whose: string;
  go(): void;
}

export class FairSemaphore {
  #free: number;
  readonly #held = new Map<string, number>();
  readonly #waiting = new Set<Waiter>();

  constructor(
    places: number,
    /** How many of the places one may hold. */
    readonly eachMax: number,
    readonly waitingMax: number,
  ) {
    this.#free = places;
  }

  async acquire(signal: AbortSignal, whose: string): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0 && this.#may(whose)) return this.#hold(whose);
    if (this.#waiting.size >= this.waitingMax) throw overloaded(this.waitingMax);
    await new Promise<void>((resolve, reject) => {
      const waiting = {
        whose,
        go() {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.#waiting.delete(waiting);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.add(waiting);
    });
  }

  release(whose: string): void {
    const held = (this.#held.get(whose) ?? 1) - 1;
    if (held > 0) this.#held.set(whose, held);
    else this.#held.delete(whose);
    this.#free++;
    // The oldest who may: a Set keeps its order.
    for (const waiting of this.#waiting)
      if (this.#may(waiting.whose)) {
        this.#waiting.delete(waiting);
        this.#hold(waiting.whose);
        waiting.go();
        return;
      }
  }

  #may(whose: string): boolean {
    return (this.#held.get(whose) ?? 0) < this.eachMax;
  }

  #hold(whose: string): void {
    this.#free--;
    this.#held.set(whose, (this.#held.get(whose) ?? 0) + 1);
  }
}
