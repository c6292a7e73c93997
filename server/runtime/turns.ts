// The calls on this server that wait for something: a queue for each claim, and for each consumer group. Only the first
// of a queue makes attempts. Those who wait for a claim stand in the order of their numbers in the table
// `claim_waiter`, which holds across servers; the server says for all of them, every now and then, that they are still
// there (keepPlaces).
import { overloaded } from "../postgres/fair-semaphore.js";

/** A place in a queue. */
export interface Place {
  tenant: string;
  /** What it waits for. */
  name: string;
  /** The id under which the database knows it, if it does. */
  id?: string;
}

interface Waiting extends Place {
  /** Those with lower numbers come first. */
  number: number;
  wake(): void;
}

export interface Turn {
  /** Sets its number. It changes if its row was deleted, because its server was silent for 2 seconds. */
  move(number: number): void;
  /** Resolves when it is the first, or after `ms`; says whether it had to wait. Fails when the signal aborts. */
  first(ms: number, signal: AbortSignal): Promise<boolean>;
  leave(): void;
}

export class Turns {
  /** By what they wait for, in the order of their numbers. */
  readonly #queues = new Map<string, Waiting[]>();
  readonly #byTenant = new Map<string, number>();
  #arrivals = 0;

  constructor(
    /** How many may wait of one tenant. */
    readonly waitersMax: number,
  ) {}

  /** All places of this server. */
  get places(): Place[] {
    return [...this.#queues.values()].flat();
  }

  /** The first of each queue. */
  get firsts(): Place[] {
    return [...this.#queues.values()].flatMap(([first]) => first ?? []);
  }

  /** Without a number, it comes after those that are there. */
  enter(place: Place, number = ++this.#arrivals): Turn {
    const { tenant } = place;
    const count = this.#byTenant.get(tenant) ?? 0;
    if (count >= this.waitersMax) throw overloaded(this.waitersMax);
    this.#byTenant.set(tenant, count + 1);
    const key = `${tenant}\0${place.name}`;
    const queue = this.#queues.get(key) ?? [];
    this.#queues.set(key, queue);
    const waiting: Waiting = { ...place, number, wake: () => {} };
    insert(queue, waiting);
    return {
      move: (number) => {
        if (number === waiting.number) return;
        queue.splice(queue.indexOf(waiting), 1);
        waiting.number = number;
        insert(queue, waiting);
        if (queue[0] !== waiting) queue[0]?.wake();
      },
      first: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (queue[0] === waiting) return resolve(false);
          const end = (settle: () => void) => {
            clearTimeout(timer);
            signal.removeEventListener("abort", abort);
            waiting.wake = () => {};
            settle();
          };
          const abort = () => end(() => reject(signal.reason));
          const timer = setTimeout(() => end(() => resolve(true)), ms);
          waiting.wake = () => end(() => resolve(true));
          signal.addEventListener("abort", abort, { once: true });
          if (signal.aborted) abort();
        }),
      leave: () => {
        const index = queue.indexOf(waiting);
        if (index < 0) return;
        queue.splice(index, 1);
        const left = (this.#byTenant.get(tenant) ?? 1) - 1;
        if (left > 0) this.#byTenant.set(tenant, left);
        else this.#byTenant.delete(tenant);
        if (queue.length === 0 && this.#queues.get(key) === queue) this.#queues.delete(key);
        queue[0]?.wake();
      },
    };
  }
}

/** Searches from the end: new waiters usually have the highest number. */
function insert(queue: Waiting[], waiting: Waiting): void {
  const before = queue.findLastIndex(({ number }) => number < waiting.number);
  queue.splice(before + 1, 0, waiting);
}
