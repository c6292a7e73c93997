// One watch: the changes that wait to be sent to it, in a queue of bounded size.
import type { CortexError } from "../errors/reasons.js";
import type { Change } from "./log.js";
import type { Snapshot } from "./snapshot.js";
import type { Selector } from "./watchers.js";

const queueRowsMax = 1000;
const queueBytesMax = 1024 * 1024;

/** A change with its batch, which its cursor needs. */
export interface Item {
  change: Change;
  batch: { from: Snapshot; to: Snapshot };
  /** The part of its cursor that all its watchers share, once it was made. */
  cursor?: string;
}

/** About how many bytes it takes. */
export const sizeOf = ({ change }: Item): number =>
  (change.value?.length ?? 0) + change.name.length + 200;

export class Watcher {
  /** What was read for it from the log, then what is of the current state, then what the reader gave it. */
  readonly backlog: Item[] = [];
  readonly current: Item[] = [];
  readonly live: Item[] = [];
  /** True while the reader gives it the changes. If it fell behind, false. */
  isLive = false;
  /** The reader has given it all that is visible in this snapshot; undefined while it is not live. */
  position: Snapshot | undefined;
  failure: CortexError | undefined;
  #liveBytes = 0;
  #wake: (() => void) | undefined;

  constructor(
    readonly selector: Selector,
    /** The bytes in the queues of all watchers. */
    readonly queues: { bytes: number },
  ) {}

  /** Takes a change from the reader. False if there is no room. */
  push(item: Item): boolean {
    const bytes = sizeOf(item);
    const isFull = this.#liveBytes > 0 && this.#liveBytes + bytes > queueBytesMax;
    if (isFull || this.live.length >= queueRowsMax) return false;
    this.live.push(item);
    this.#count(bytes);
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
    if (list === this.live) for (const item of items) this.#count(-sizeOf(item));
    return items;
  }

  /** Removes the items for which the condition holds: they are not sent. */
  removeAll(condition: (item: Item) => boolean): void {
    for (const list of [this.backlog, this.current, this.live])
      for (const item of list.filter(condition)) {
        list.splice(list.indexOf(item), 1);
        if (list === this.live) this.#count(-sizeOf(item));
      }
  }

  clear(): void {
    this.removeAll(() => true);
  }

  #count(bytes: number): void {
    this.#liveBytes += bytes;
    this.queues.bytes += bytes;
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
