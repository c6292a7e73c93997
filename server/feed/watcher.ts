// One watch or subscription: the changes or events that wait to be sent to it, in a queue of bounded size.
import type { CortexError } from "../errors/reasons.js";
import type { Change } from "./log.js";
import type { Snapshot } from "./snapshot.js";
import type { Selector } from "./watchers.js";

/** A watch that falls behind reads the log, so its queue is short. A subscription must hold what comes in a burst. */
const watchLimits = { rows: 1000, bytes: 1024 * 1024 };
const subscriptionLimits = { rows: 10_000, bytes: 16 * 1024 * 1024 };
const queuesBytesMax = 64 * 1024 * 1024;
const sureBytes = 64 * 1024; // that a queue may hold beyond that
const entryBytes = 16; // of a queue

/** A change with its batch, which its cursor needs. */
export interface Item {
  change: Change;
  batch: { from: Snapshot; to: Snapshot };
  /** The part of its cursor that all its watchers share, once it was made. */
  cursor?: string;
  /** How many queues hold it. */
  holders?: number;
}

/** About how many bytes it takes. */
const sizeOf = ({ change }: Item): number => (change.value?.length ?? 0) + change.name.length + 200;

/**
 * Counts the bytes in the queues of all watchers: of each item once, and 16 for each queue that holds it. Beyond the
 * limit, only tenants that have less than their share get more.
 */
export class Queues {
  #bytes = 0;
  readonly #byTenant = new Map<string, number>();

  /** True if there is room for the item in one queue more. */
  hasRoom(item: Item): boolean {
    const bytes = item.holders ? entryBytes : sizeOf(item) + entryBytes;
    if (this.#bytes + bytes <= queuesBytesMax) return true;
    const own = this.#byTenant.get(item.change.tenant) ?? 0;
    return own + bytes <= queuesBytesMax / (this.#byTenant.size + (own === 0 ? 1 : 0));
  }

  add(item: Item): void {
    this.#count(item, item.holders ? entryBytes : sizeOf(item) + entryBytes);
    item.holders = (item.holders ?? 0) + 1;
  }

  delete(item: Item): void {
    item.holders = (item.holders ?? 1) - 1;
    this.#count(item, item.holders ? -entryBytes : -sizeOf(item) - entryBytes);
  }

  #count({ change: { tenant } }: Item, bytes: number): void {
    this.#bytes += bytes;
    const own = (this.#byTenant.get(tenant) ?? 0) + bytes;
    if (own > 0) this.#byTenant.set(tenant, own);
    else this.#byTenant.delete(tenant);
  }
}

export class Watcher {
  /** Read from the log, after its cursor. */
  readonly backlog: Item[] = [];
  /** Of the current state. */
  readonly current: Item[] = [];
  /** What is new: from the reader of the feed. */
  readonly live: Item[] = [];
  /** True while the reader gives it the changes. If it fell behind, false. */
  isLive = false;
  /** The reader has given it all that is visible in this snapshot; undefined while it is not live. */
  position: Snapshot | undefined;
  failure: CortexError | undefined;
  /** Called when it stops being live; with the number of items that it missed, if that is known. */
  onStop: ((missed: number | undefined) => void) | undefined;
  #liveBytes = 0;
  #wake: (() => void) | undefined;

  constructor(
    readonly selector: Selector,
    readonly queues: Queues,
  ) {}

  /** Takes a change from the reader. False if there is no room. There always is for some, also beside slow ones. */
  push(item: Item): boolean {
    const bytes = sizeOf(item);
    const limits = this.selector.store === "event" ? subscriptionLimits : watchLimits;
    const isFull = this.#liveBytes > 0 && this.#liveBytes + bytes > limits.bytes;
    if (isFull || this.live.length >= limits.rows) return false;
    if (this.#liveBytes + bytes > sureBytes && !this.queues.hasRoom(item)) return false;
    this.live.push(item);
    this.#liveBytes += bytes;
    this.queues.add(item);
    return true;
  }

  /** Takes the next items of a list: at most `max`, and about `bytesMax`. */
  take(list: Item[], max: number, bytesMax: number): Item[] {
    let count = 0;
    for (let bytes = 0; count < Math.min(max, list.length); count++) {
      bytes += sizeOf(list[count] as Item);
      if (count > 0 && bytes > bytesMax) break;
    }
    const items = list.splice(0, count);
    if (list === this.live) for (const item of items) this.#leave(item);
    return items;
  }

  /** Removes the items for which the condition holds: they are not sent. */
  removeAll(
    condition: (item: Item) => boolean,
    lists = [this.backlog, this.current, this.live],
  ): void {
    for (const list of lists)
      for (const item of list.splice(0)) {
        if (!condition(item)) list.push(item);
        else if (list === this.live) this.#leave(item);
      }
  }

  clear(lists?: Item[][]): void {
    this.removeAll(() => true, lists);
  }

  #leave(item: Item): void {
    this.#liveBytes -= sizeOf(item);
    this.queues.delete(item);
  }

  wake(): void {
    this.#wake?.();
  }

  /** Resolves when something has happened, at the latest after `ms`. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        this.#wake = undefined;
        settle();
      };
      const abort = () => end(() => reject(signal.reason));
      const timer = setTimeout(() => end(resolve), ms);
      this.#wake = () => end(resolve);
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}
