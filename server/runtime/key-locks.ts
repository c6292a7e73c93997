// Keys that are locked for longer than one statement: by a transaction that is open on this server, or by a
// call that makes attempts for a lock held elsewhere. A call that holds no lock yet waits for them
// here, in order and without a connection. A transaction that already holds locks waits in the database,
// which finds deadlocks.
import { overloaded } from "../postgres/fair-semaphore.js";
import type { Telemetry } from "../telemetry/telemetry.js";

/** An owner of keys: any object. */
export type Owner = object;

interface KeyQueue {
  owners: Set<Owner>;
  /** How many writers have left the queue and are writing now. */
  writing: number;
  waiters: Set<LockWaiter>;
}

interface LockWaiter {
  /** The owner to be; undefined for a writer, who only waits until the key is free. */
  owner: Owner | undefined;
  go(): void;
}

export class KeyLocks {
  readonly #queues = new Map<string, KeyQueue>();
  #waiting = 0;

  constructor(
    /** How many may wait, for all keys together. */
    readonly waitingMax: number,
    readonly telemetry?: Telemetry | undefined,
  ) {}

  /** How many wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** True if any of the keys has an owner. */
  isOwned(keys: readonly string[]): boolean {
    return this.#queues.size > 0 && keys.some((key) => this.#queues.get(key)?.owners.size);
  }

  /**
   * Waits until none of the keys has an owner. The caller calls the returned function once it has written.
   */
  async waitUntilFree(keys: readonly string[], signal: AbortSignal): Promise<() => void> {
    if (this.#queues.size === 0) return nothing;
    for (;;) {
      const key = keys.find((name) => this.#queues.get(name)?.owners.size);
      if (key === undefined) return nothing;
      const queue = this.#queues.get(key) as KeyQueue;
      await this.#wait(key, queue, undefined, signal);
      const written = () => {
        queue.writing--;
        this.#advance(key, queue);
      };
      if (!this.isOwned(keys)) return written;
      written();
    }
  }

  /** Waits its turn, then becomes the owner of the key. Only for owners with no lock in the database yet. */
  async acquire(key: string, owner: Owner, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const queue = this.#queues.get(key);
    if (!queue) this.join(key, owner);
    else await this.#wait(key, queue, owner, signal);
  }

  /** Becomes an owner at once, beside others: the database decides who of them goes first. */
  join(key: string, owner: Owner): void {
    const queue = this.#queues.get(key) ?? { owners: new Set(), writing: 0, waiters: new Set() };
    queue.owners.add(owner);
    this.#queues.set(key, queue);
  }

  release(key: string, owner: Owner): void {
    const queue = this.#queues.get(key);
    if (!queue) return;
    queue.owners.delete(owner);
    this.#advance(key, queue);
  }

  #wait(key: string, queue: KeyQueue, owner: Owner | undefined, signal: AbortSignal) {
    const startedAt = performance.now();
    const waited = () => this.telemetry?.waitedForLock(performance.now() - startedAt);
    return new Promise<void>((resolve, reject) => {
      const waiter = {
        owner,
        go: () => {
          this.#waiting--;
          waited();
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.#waiting--;
        waited();
        queue.waiters.delete(waiter);
        reject(signal.reason);
        this.#advance(key, queue);
      };
      if (signal.aborted) return reject(signal.reason);
      if (this.#waiting >= this.waitingMax) return reject(overloaded(this.waitingMax));
      this.#waiting++;
      signal.addEventListener("abort", leave, { once: true });
      queue.waiters.add(waiter);
      this.#advance(key, queue);
    });
  }

  /** Lets the next go: all writers up to the next owner to be, or that owner alone. */
  #advance(key: string, queue: KeyQueue): void {
    for (const waiter of queue.waiters) {
      if (queue.owners.size > 0 || (waiter.owner && queue.writing > 0)) return;
      queue.waiters.delete(waiter);
      if (waiter.owner) queue.owners.add(waiter.owner);
      else queue.writing++;
      waiter.go();
    }
    if (queue.owners.size === 0 && queue.writing === 0 && this.#queues.get(key) === queue)
      this.#queues.delete(key);
  }
}

const nothing = () => {};
