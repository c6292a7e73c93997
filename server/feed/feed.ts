// The one reader of the change feed in a server process. It reads the log while there are watches or subscriptions,
// and hands each change or event to those that match, its watchers. It waits for nobody: a watch that falls behind
// catches up from the log (storage/changes/watch.ts), a subscription ends with EVENTS_MISSED.
import { CortexError } from "../errors/reasons.js";
import { type Bus, topicOf } from "../postgres/bus.js";
import type { Run } from "../postgres/connection.js";
import { Erasures } from "./erasures.js";
import { type Change, Disabled, Dropped, type Position, positionOfNow, readPage } from "./log.js";
import type { Snapshot } from "./snapshot.js";
import { type Item, Queues, Watcher } from "./watcher.js";
import { type Selector, Watchers } from "./watchers.js";

/** Every writer sends this name over the bus, which wakes the readers. */
export const feedName = "\0changes";
const feedTopic = topicOf(feedName);

const pollMs = 1000; // the bus may have lost a name
const gatherMs = 5; // shortest time from one read to the next
const pageRowsMax = 5000;
const pageBytesMax = 16 * 1024 * 1024;
const missedMs = 9000; // a reader that is behind for longer may miss events, which are kept for 10 seconds

/** What `feed` of the database says: it makes and checks cursors. */
export interface FeedState {
  epoch: string;
  secret: string;
}

export interface FeedMonitor {
  did(work: string): void;
  cannot(work: string, error: unknown): void;
}

const readWork = "read the changes for watchers";

export class Feed {
  readonly #watchers = new Set<Watcher>();
  readonly #live = new Watchers<Watcher>();
  /** Watchers that become live when the next batch has been read. */
  readonly #joining = new Map<Watcher, () => void>();
  /** Those that become live when this batch has been read. */
  readonly #boarding = new Map<Watcher, () => void>();
  readonly #byTenant = new Map<string, number>();
  readonly #queues = new Queues();
  #position: Position | undefined;
  readonly erasures = new Erasures();
  /** The epoch of the last page. */
  #epoch: string | undefined;
  /** See Page. */
  #life: string | null = null;
  /** What was committed before this time, by the database's clock, was handed out. */
  #caughtUpAt = 0;
  /** When all had been handed out that was committed, by the clock of this process. */
  #upToDateAt = 0;
  #reading: Promise<void> | undefined;
  #isReading = false;
  #wakeReader: (() => void) | undefined;
  readonly #closing = new AbortController();

  constructor(
    readonly run: Run,
    readonly bus: Bus,
    readonly monitor: FeedMonitor,
    /** How many watchers a tenant may have. */
    readonly watchersMax: number,
  ) {}

  /** Wakes the readers of all servers: something was written. */
  announce(): void {
    this.bus.publishTopic(feedTopic);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wakeReader?.();
    await this.#reading;
  }

  /** Adds a watcher, which is not live yet. */
  open(selector: Selector): Watcher {
    const { tenant } = selector;
    const count = (this.#byTenant.get(tenant) ?? 0) + 1;
    if (count > this.watchersMax)
      throw new CortexError("OVERLOADED", {
        applied: "no",
        problem: "the tenant has too many watches and subscriptions",
        limit: `${this.watchersMax}`,
        retry_after_ms: "1000",
      });
    this.#byTenant.set(tenant, count);
    const watcher = new Watcher(selector, this.#queues);
    this.#watchers.add(watcher);
    if (!this.#isReading) this.#reading = this.#read();
    return watcher;
  }

  remove(watcher: Watcher): void {
    if (!this.#watchers.delete(watcher)) return;
    watcher.onStop = undefined;
    this.#joining.delete(watcher);
    this.#boarding.delete(watcher);
    this.#stop(watcher);
    watcher.clear();
    const { tenant } = watcher.selector;
    const left = (this.#byTenant.get(tenant) ?? 0) - 1;
    if (left > 0) this.#byTenant.set(tenant, left);
    else this.#byTenant.delete(tenant);
  }

  /** Makes a watcher live. Resolves once it gets all that is committed from then on. */
  async join(watcher: Watcher, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        this.#joining.delete(watcher);
        this.#boarding.delete(watcher);
        reject(signal.reason);
      };
      this.#joining.set(watcher, () => {
        signal.removeEventListener("abort", abort);
        resolve();
      });
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort, { once: true });
      this.#wakeReader?.();
    });
  }

  /** How many watches and subscriptions there are. */
  get load(): { watches: number; subscriptions: number; lagSeconds: number } {
    let subscriptions = 0;
    for (const { selector } of this.#watchers) if (selector.store === "event") subscriptions++;
    const lagMs = performance.now() - this.#upToDateAt;
    return {
      watches: this.#watchers.size - subscriptions,
      subscriptions,
      lagSeconds: this.#isReading ? lagMs / 1000 : 0,
    };
  }

  /** How many live subscriptions of this process match a channel. */
  receivers(tenant: string, channel: string): number {
    let count = 0;
    for (const _ of this.#live.ofChannel(tenant, channel)) count++;
    return count;
  }

  /** The state of the feed in the database. */
  async state(): Promise<FeedState> {
    const [state] = await this.run<FeedState>((sql) => sql`select epoch, secret from feed`);
    return state as FeedState;
  }

  #stop(watcher: Watcher, missed?: number): void {
    watcher.isLive = false;
    watcher.position = undefined;
    this.#live.delete(watcher);
    watcher.onStop?.(missed);
    if (watcher.selector.store === "event") watcher.clear();
  }

  /** Reads as long as there are watchers. */
  async #read(): Promise<void> {
    this.#isReading = true;
    this.#upToDateAt = performance.now();
    const { signal } = this.#closing;
    const wakeUps = this.bus.listen(feedName);
    try {
      while (this.#watchers.size > 0 && !signal.aborted) {
        const outcome = await this.#readOnce();
        const endedAt = performance.now();
        if (outcome === "more") continue;
        const pause = new AbortController();
        this.#wakeReader = () => pause.abort();
        if (!signal.aborted && (this.#joining.size === 0 || outcome === "failed"))
          await wakeUps.next(pollMs, pause.signal).catch(() => {});
        this.#wakeReader = undefined;
        const early = endedAt + gatherMs - performance.now();
        if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      }
    } finally {
      wakeUps.stop();
      this.#position = undefined;
      this.#epoch = undefined;
      this.#life = null;
      this.#isReading = false;
    }
  }

  /** Reads one page. Says whether more follow. */
  async #readOnce(): Promise<"more" | "end" | "failed"> {
    // Whoever joins within a batch of several pages waits for the next: this one may be from before.
    if (!this.#position?.to) {
      for (const [watcher, done] of this.#joining) this.#boarding.set(watcher, done);
      this.#joining.clear();
    }
    let outcome: "more" | "end" | "failed" = "failed";
    try {
      if (!this.#position) {
        const { position, readAt } = await positionOfNow(this.run);
        this.#position = position;
        this.#caughtUpAt = readAt;
      }
      const page = await readPage(this.run, this.#position, {
        rowsMax: pageRowsMax,
        bytesMax: pageBytesMax,
      });
      if (this.#epoch !== undefined && page.epoch !== this.#epoch)
        this.#failAll("the log was begun anew");
      this.#epoch = page.epoch;
      this.erasures.secret = page.secret;
      const hasCrashed = this.#life !== null && page.life !== this.#life;
      if (hasCrashed || page.readAt - this.#caughtUpAt > missedMs) this.#stopSubscriptions();
      this.#life = page.life;
      for (const change of page.changes) this.#hand({ change, batch: page.batch });
      this.#position = page.next;
      outcome = page.next.to ? "more" : "end";
      if (outcome === "end") {
        this.#caughtUpAt = page.readAt;
        this.#upToDateAt = performance.now();
        this.#arrive(page.next.from);
      }
      this.monitor.did(readWork);
    } catch (error) {
      if (error instanceof Dropped) this.#restart();
      else if (error instanceof Disabled) this.#failAll(undefined);
      else this.monitor.cannot(readWork, error);
    }
    for (const [watcher, done] of this.#boarding) {
      if (!watcher.isLive && !watcher.failure) continue; // it goes on with the next page
      this.#boarding.delete(watcher);
      done();
    }
    return outcome;
  }

  /** The reader has handed out all that is visible in the snapshot. */
  #arrive(snapshot: Snapshot): void {
    for (const watcher of this.#boarding.keys()) {
      watcher.isLive = true;
      this.#live.add(watcher);
    }
    for (const watcher of this.#watchers) if (watcher.isLive) watcher.position = snapshot;
  }

  #hand(item: Item): void {
    if (item.change.store === "mark") {
      this.#forget(item.change);
      return;
    }
    for (const watcher of this.#live.of(item.change)) {
      // A watch without room goes on from the log, after what it has. A subscription has missed the event.
      if (!watcher.push(item)) this.#stop(watcher, watcher.live.length + 1);
      watcher.wake();
    }
  }

  /** A user was erased: what is still to be sent of them is not sent. */
  #forget(mark: Change): void {
    this.erasures.note(mark);
    const digests = new Map<string, string>();
    for (const watcher of this.#watchers)
      if (watcher.selector.tenant === mark.tenant)
        watcher.removeAll((item) => this.erasures.cover(item, digests));
  }

  /** Goes on from now. Watches catch up from the log, which says whether something is lost; subscriptions end. */
  #restart(): void {
    this.#position = undefined;
    for (const watcher of this.#watchers) {
      if (watcher.isLive) this.#stop(watcher);
      watcher.clear([watcher.live]); // a mark of an erasure may have been missed
      watcher.wake();
    }
  }

  /** Events may have been lost before they were read. */
  #stopSubscriptions(): void {
    for (const watcher of this.#watchers)
      if (watcher.isLive && watcher.selector.store === "event") this.#stop(watcher);
  }

  #failAll(problem: string | undefined): void {
    for (const watcher of this.#watchers) {
      watcher.failure =
        problem === undefined
          ? new CortexError("WATCH_DISABLED")
          : new CortexError("CURSOR_EXPIRED", { problem });
      this.#stop(watcher);
      watcher.wake();
    }
  }
}
