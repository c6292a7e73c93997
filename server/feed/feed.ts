// The one reader of the change feed in a server process. It reads the log while somebody watches, and hands each
// change to the watchers that match. It waits for nobody: a watcher that falls behind is told to catch up from
// the log (storage/changes/watch.ts).
import { createHash } from "node:crypto";
import { CortexError } from "../errors/reasons.js";
import type { Bus } from "../postgres/bus.js";
import type { Run } from "../postgres/connection.js";
import { type Change, Disabled, Dropped, type Position, readPage } from "./log.js";
import { isVisible, parseSnapshot, type Snapshot } from "./snapshot.js";
import { type Item, sizeOf, Watcher } from "./watcher.js";
import { type Selector, Watchers } from "./watchers.js";

/** The name on the bus that everybody publishes who writes. */
export const feedName = "\0changes";

const pollMs = 1000; // the bus may have lost a name
const gatherMs = 5; // shortest time from one read to the next
const pageRowsMax = 5000;
const pageBytesMax = 16 * 1024 * 1024;
const queuesBytesMax = 64 * 1024 * 1024; // of all watchers together
const erasureMs = 120_000; // how long a page may take from its read to a queue, and more
const frozenMs = 5000; // a reader that stood still for longer may have missed that something was dropped

/** What `feed` of the database says: it makes and checks cursors. */
export interface FeedState {
  epoch: string;
  secret: string;
}

/** The erasure of a user, as the log has it. */
interface Erasure {
  tenant: string;
  digest: string;
  xid: bigint;
  readAt: number;
}

export interface FeedMonitor {
  did(work: string): void;
  cannot(work: string, error: unknown): void;
}

const readWork = "read the changes for watchers";

export class Feed {
  readonly #watchers = new Set<Watcher>();
  readonly #live = new Watchers<Watcher>();
  /** Watchers that become live when the next read has ended. */
  #joining = new Map<Watcher, () => void>();
  readonly #byTenant = new Map<string, number>();
  /** The bytes that wait in the queues of all watchers. */
  readonly #queues = { bytes: 0 };
  #position: Position | undefined;
  /** The latest ones. */
  #erasures: Erasure[] = [];
  /** As it was read last. */
  #state: FeedState | undefined;
  /** The epoch of the last page. */
  #epoch: string | undefined;
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

  /** Tells all readers that something was written. */
  publish(): void {
    this.bus.publish([feedName]);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#reading;
  }

  /** Adds a watcher, which is not live yet. */
  open(selector: Selector): Watcher {
    const { tenant } = selector;
    const count = (this.#byTenant.get(tenant) ?? 0) + 1;
    if (count > this.watchersMax)
      throw new CortexError("OVERLOADED", {
        applied: "no",
        problem: "the tenant has too many watches",
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
    this.#joining.delete(watcher);
    this.#stop(watcher);
    watcher.clear();
    const { tenant } = watcher.selector;
    const left = (this.#byTenant.get(tenant) ?? 0) - 1;
    if (left > 0) this.#byTenant.set(tenant, left);
    else this.#byTenant.delete(tenant);
  }

  /** Makes a watcher live. Resolves once it is, with all that was committed before the call behind it. */
  async join(watcher: Watcher, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        this.#joining.delete(watcher);
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

  /** The state of the feed in the database. */
  async state(): Promise<FeedState> {
    const [state] = await this.run<FeedState>((sql) => sql`select epoch, secret from feed`);
    this.#state = state as FeedState;
    return this.#state;
  }

  #stop(watcher: Watcher): void {
    watcher.isLive = false;
    watcher.position = undefined;
    this.#live.delete(watcher);
  }

  /** Reads as long as there are watchers. */
  async #read(): Promise<void> {
    this.#isReading = true;
    const { signal } = this.#closing;
    const wakeUps = this.bus.listen(feedName);
    try {
      for (let endedAt = performance.now(); this.#watchers.size > 0 && !signal.aborted; ) {
        if (performance.now() - endedAt > frozenMs) this.#restart();
        const outcome = await this.#readOnce();
        endedAt = performance.now();
        if (outcome === "more") continue;
        const pause = new AbortController();
        this.#wakeReader = () => pause.abort();
        if (this.#joining.size === 0 || outcome === "failed")
          await wakeUps.next(pollMs, AbortSignal.any([pause.signal, signal])).catch(() => {});
        this.#wakeReader = undefined;
        const early = endedAt + gatherMs - performance.now();
        if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
        endedAt = performance.now();
      }
    } finally {
      wakeUps.stop();
      this.#position = undefined;
      this.#epoch = undefined;
      this.#isReading = false;
    }
  }

  /** Reads one page. Says whether more follow. */
  async #readOnce(): Promise<"more" | "end" | "failed"> {
    const joining = this.#joining;
    this.#joining = new Map();
    let outcome: "more" | "end" | "failed" = "failed";
    try {
      this.#position ??= await this.#now();
      const page = await readPage(this.run, this.#position, {
        rowsMax: pageRowsMax,
        bytesMax: pageBytesMax,
      });
      if (this.#epoch !== undefined && page.epoch !== this.#epoch)
        this.#failAll("the log was begun anew");
      this.#epoch = page.epoch;
      for (const change of page.changes) this.#hand({ change, batch: page.batch });
      this.#position = page.next;
      outcome = page.next.to ? "more" : "end";
      if (outcome === "end") this.#arrive(page.next.from, joining);
      this.monitor.did(readWork);
    } catch (error) {
      if (error instanceof Dropped) this.#restart();
      else if (error instanceof Disabled) this.#failAll(undefined);
      else this.monitor.cannot(readWork, error);
    }
    for (const [watcher, done] of joining) {
      if (watcher.isLive || watcher.failure) done();
      else if (this.#watchers.has(watcher)) this.#joining.set(watcher, done); // after the next page
    }
    return outcome;
  }

  /** The reader has handed out all that is visible in the snapshot. */
  #arrive(snapshot: Snapshot, joining: Map<Watcher, () => void>): void {
    for (const watcher of joining.keys()) {
      if (!this.#watchers.has(watcher)) continue;
      watcher.isLive = true;
      this.#live.add(watcher);
    }
    for (const watcher of this.#watchers) if (watcher.isLive) watcher.position = snapshot;
  }

  async #now(): Promise<Position> {
    const [row] = await this.run<{ snapshot: string }>(
      (sql) => sql`select pg_current_snapshot()::text as snapshot`,
    );
    return { from: parseSnapshot(row?.snapshot ?? "") };
  }

  #hand(item: Item): void {
    if (item.change.store === "mark") {
      this.#forget(item.change);
      return;
    }
    const isFull = this.#queues.bytes + sizeOf(item) > queuesBytesMax;
    for (const watcher of this.#live.of(item.change)) {
      // A watcher without room goes on from the log, after what it has.
      if (isFull || !watcher.push(item)) this.#stop(watcher);
      watcher.wake();
    }
  }

  /** A user was erased: what is still to be sent of them is not sent. */
  #forget({ tenant, value, xid }: Change): void {
    const now = performance.now();
    const digest = JSON.parse(value ?? '""') as string;
    this.#erasures = this.#erasures.filter(({ readAt }) => now - readAt < erasureMs);
    this.#erasures.push({ tenant, digest, xid: BigInt(xid), readAt: now });
    for (const watcher of this.#watchers)
      if (watcher.selector.tenant === tenant) watcher.removeAll((item) => this.isErased(item));
  }

  /** True if the user of the change was erased after it was read. (A new user may have the same id.) */
  isErased({ change: { tenant, user_id }, batch }: Item): boolean {
    if (user_id === null) return false;
    const later = this.#erasures.filter(
      (erasure) => erasure.tenant === tenant && !isVisible(batch.to, erasure.xid),
    );
    if (later.length === 0) return false;
    const digest = userDigest(this.#state?.secret ?? "", tenant, user_id);
    return later.some((erasure) => erasure.digest === digest);
  }

  /** Goes on from now; all watchers catch up from the log, which says whether something is lost. */
  #restart(): void {
    this.#position = undefined;
    for (const watcher of this.#watchers) {
      if (watcher.isLive) this.#stop(watcher);
      watcher.wake();
    }
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

/** What stands for a user in the log once the user is erased. The database computes the same (users/erase.ts). */
export const userDigest = (secret: string, tenant: string, id: string): string =>
  createHash("sha256").update(`${secret}\u0001${tenant}\u0001${id}`).digest("hex");
