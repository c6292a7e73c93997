// Keys that are locked for longer than a statement takes: by a transaction that is open on this server, or by a call that waits in
// the database for a lock held elsewhere. Whoever holds nothing yet waits for them here, in order, without a connection. Whoever
// holds a lock already waits in the database, which sees who waits for whom and breaks circles.
import { overloaded } from "../postgres/fair-semaphore.js";

/** Somebody who holds keys. */
export type Owner = object;

interface KeyQueue {
  owners: Set<Owner>;
  /** Statements of those who waited and are writing now. */
  passing: number;
  waiting: Set<Waiter>;
}

interface Waiter {
  /** Who is to own the key; undefined for one that only passes. */
  owner: Owner | undefined;
  go(): void;
}

export class KeyLocks {
  readonly #lines = new Map<string, KeyQueue>();
  #waiting = 0;

  /** How many may wait in all. */
  constructor(readonly waitingMax: number) {}

  /** Whether any of the keys is owned. */
  isOwned(keys: readonly string[]): boolean {
    return this.#lines.size > 0 && keys.some((key) => this.#lines.get(key)?.owners.size);
  }

  /** Waits until nobody owns any of the keys. To be told when the caller has written. */
  async waitUntilFree(keys: readonly string[], signal: AbortSignal): Promise<() => void> {
    if (this.#lines.size === 0) return done;
    for (;;) {
      const key = keys.find((name) => this.#lines.get(name)?.owners.size);
      if (key === undefined) return done;
      const line = this.#lines.get(key) as KeyQueue;
      await this.#wait(key, line, undefined, signal);
      if (!this.isOwned(keys)) return () => this.#leave(key, line, () => line.passing--);
      this.#leave(key, line, () => line.passing--);
    }
  }

  /** Waits for its turn to own the key, holding nothing. */
  async acquire(key: string, owner: Owner, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const line = this.#lines.get(key);
    if (!line) this.join(key, owner);
    else await this.#wait(key, line, owner, signal);
  }

  /** Makes it an owner at once, beside others: the database says whose turn it is. */
  join(key: string, owner: Owner): void {
    const line = this.#lines.get(key) ?? { owners: new Set(), passing: 0, waiting: new Set() };
    line.owners.add(owner);
    this.#lines.set(key, line);
  }

  release(key: string, owner: Owner): void {
    const line = this.#lines.get(key);
    if (line) this.#leave(key, line, () => line.owners.delete(owner));
  }

  #wait(key: string, line: KeyQueue, owner: Owner | undefined, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const left = () => {
        this.#waiting--;
      };
      const waiter = {
        owner,
        go() {
          left();
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        left();
        line.waiting.delete(waiter);
        reject(signal.reason);
        this.#advance(key, line);
      };
      if (signal.aborted) return reject(signal.reason);
      if (this.#waiting >= this.waitingMax) return reject(overloaded(this.waitingMax));
      this.#waiting++;
      signal.addEventListener("abort", leave, { once: true });
      line.waiting.add(waiter);
      this.#advance(key, line);
    });
  }

  #leave(key: string, line: KeyQueue, step: () => void): void {
    step();
    this.#advance(key, line);
  }

  /** Lets the next go: all that only pass up to the next owner, then that one alone. */
  #advance(key: string, line: KeyQueue): void {
    for (const waiter of line.waiting) {
      if (line.owners.size > 0 || (waiter.owner && line.passing > 0)) return;
      line.waiting.delete(waiter);
      if (waiter.owner) line.owners.add(waiter.owner);
      else line.passing++;
      waiter.go();
    }
    if (line.owners.size === 0 && line.passing === 0 && this.#lines.get(key) === line)
      this.#lines.delete(key);
  }
}

const done = () => {};
