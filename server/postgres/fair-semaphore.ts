// A semaphore with fair queues: places go to the holder who has the fewest, so that one who asks for many does
// not keep others waiting. The queues are bounded.
import { CortexError } from "../errors/reasons.js";

/** The error for a caller who comes when the queue is full. */
export const overloaded = (limit: number): CortexError =>
  new CortexError("OVERLOADED", { applied: "no", limit: `${limit}`, retry_after_ms: "100" });

interface Waiter {
  go(): void;
}

export interface SemaphoreOptions {
  places: number;
  /** How many may wait of one holder. Of all holders together, twice as many. */
  waitersMax: number;
  /**
   * True if places are held for long. Then a holder takes no more places than it leaves free for others (half
   * of all, if there is nobody else).
   */
  leavesHalf?: boolean;
  /** How many places a holder may have. */
  perHolderMax?: number;
  /** Told how long a caller waited. */
  onWaited?: (ms: number) => void;
}

export class FairSemaphore {
  #free: number;
  #waiting = 0;
  readonly #held = new Map<string, number>();
  /** Who waits, by holder: who was served last comes last. */
  readonly #queues = new Map<string, Set<Waiter>>();

  constructor(readonly options: SemaphoreOptions) {
    this.#free = options.places;
  }

  /** How many places are taken. */
  get used(): number {
    return this.options.places - this.#free;
  }

  /** How many callers wait. */
  get waiters(): number {
    return this.#waiting;
  }

  /** True if the holder would get a place at once. */
  isFree(holder: string): boolean {
    return this.#free > 0 && this.#mayTake(holder);
  }

  /** How many places the holder has. */
  heldBy(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  /** The holders who wait. */
  get waiting(): Iterable<string> {
    return this.#queues.keys();
  }

  /**
   * Waits for a place. Fails with the signal's reason when it aborts first, with OVERLOADED when too many
   * wait.
   */
  async acquire(signal: AbortSignal, holder: string): Promise<void> {
    signal.throwIfAborted();
    if (this.isFree(holder)) return this.#take(holder);
    const { waitersMax, onWaited } = this.options;
    const queue = this.#queues.get(holder) ?? new Set();
    if (queue.size >= waitersMax || this.#waiting >= 2 * waitersMax) throw overloaded(waitersMax);
    const startedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      const waiter = {
        go() {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.#leave(holder, queue, waiter);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#queues.set(holder, queue.add(waiter));
      this.#waiting++;
    }).finally(() => onWaited?.(performance.now() - startedAt));
  }

  release(holder: string): void {
    const held = this.heldBy(holder) - 1;
    if (held > 0) this.#held.set(holder, held);
    else this.#held.delete(holder);
    this.#free++;
    this.#serve();
  }

  /** Gives free places to those who have the fewest. */
  #serve(): void {
    while (this.#free > 0) {
      let poorest: string | undefined;
      for (const holder of this.#queues.keys())
        if (
          this.#mayTake(holder) &&
          (poorest === undefined || this.heldBy(holder) < this.heldBy(poorest))
        )
          poorest = holder;
      if (poorest === undefined) return;
      const queue = this.#queues.get(poorest) as Set<Waiter>;
      const first = queue.values().next().value as Waiter;
      this.#leave(poorest, queue, first);
      if (queue.size > 0) {
        this.#queues.delete(poorest);
        this.#queues.set(poorest, queue); // behind the others
      }
      this.#take(poorest);
      first.go();
    }
  }

  #leave(holder: string, queue: Set<Waiter>, waiter: Waiter): void {
    if (!queue.delete(waiter)) return;
    this.#waiting--;
    if (queue.size === 0) this.#queues.delete(holder);
  }

  #mayTake(holder: string): boolean {
    const { leavesHalf, perHolderMax = Number.POSITIVE_INFINITY } = this.options;
    return this.heldBy(holder) < (leavesHalf ? this.#free : perHolderMax);
  }

  #take(holder: string): void {
    this.#free--;
    this.#held.set(holder, this.heldBy(holder) + 1);
  }
}
