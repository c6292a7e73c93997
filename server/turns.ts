// A number of places, and those who wait for one, in order: who gives up leaves the queue. No more wait than may: whoever comes then is
// told at once.
import { CortexError } from "./errors.js";

/** Too many wait already. */
export const overloaded = (limit: number): CortexError =>
  new CortexError("OVERLOADED", { applied: "no", limit: `${limit}`, retry_after_ms: "100" });

export class Turns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(
    places: number,
    readonly waitingMax: number,
  ) {
    this.#free = places;
  }

  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    if (this.#waiting.size >= this.waitingMax) throw overloaded(this.waitingMax);
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.delete(turn);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.add(turn);
    });
  }

  give(): void {
    const [next] = this.#waiting; // the oldest: a Set keeps its order
    if (!next) this.#free++;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
