// Group commit: calls that arrive while a statement runs share the next statement, as one batch. There is no
// timer: calls that arrive in the same turn of the event loop go together, so an idle server sends them
// without delay. Tenants take turns for the places in a batch. When a batch fails, it is halved until those that
// are bad are alone, so that one bad row fails no other call.
import { isRefused } from "../errors/sqlstate.js";
import type { Run } from "../postgres/connection.js";
import { overloaded } from "../postgres/fair-semaphore.js";
import type { TenantPool } from "../postgres/pool.js";
import type { Telemetry, TracePoint } from "../telemetry/telemetry.js";
import type { CallCancellation } from "./in-flight.js";

const batchesMax = 2; // in flight: one is in the database while the next is gathered
export const batchWeightMax = 128;
// When this many calls wait, a batch is sent immediately. A larger batch takes half of the waiting calls, so
// the database works on one half while the server handles the other. (64 callers in one batch: 5000
// increments/s; in halves: 7000.)
const eagerSize = 32;
const scannedMax = 1024; // waiting calls of a tenant that are looked at for each batch
const turnWeight = 8; // what a tenant may add to a batch before it is another tenant's turn

export interface TenantItem {
  tenant: string;
}

/** A kind of statement that the calls of a batch share. */
export interface Batchable<Item extends TenantItem, Reply> {
  /** Runs the items in one statement; gives their replies in the same order. */
  run(run: Run, items: Item[]): Promise<Reply[]>;
  /** The parts of a batch that are statements of their own, by the numbers of their items. Without it, all are one. */
  separate?(items: Item[]): number[][];
  /** How much of a batch's weight of 128 the item takes. */
  weight(item: Item): number;
  /** Which connections the statement takes. */
  readonly lane: "reads" | "writes";
  /** Keys that no two batches in flight may share: one batch would wait for the other's lock. */
  conflictKeys(item: Item): readonly ConflictKey[];
}

export interface ConflictKey {
  name: string;
  /** True if items of one batch may share the key. */
  batchable: boolean;
}

interface Submission<Item, Reply> {
  item: Item;
  cancellation: CallCancellation;
  /** Where the call is in its trace. */
  caller: TracePoint | undefined;
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

/** The calls of a tenant that wait, the oldest first. */
interface Queue<Item, Reply> {
  waiting: Set<Submission<Item, Reply>>;
  /** The weight that it may still add to batches before others have had their turn. */
  credit: number;
}

export class GroupCommit<Item extends TenantItem, Reply> {
  /** By tenant: who was served last comes last. */
  readonly #queues = new Map<string, Queue<Item, Reply>>();
  #waiting = 0;
  /** The conflict keys of batches in flight. */
  readonly #inFlight = new Set<string>();
  /** The conflict keys of older calls that wait: a younger call must not overtake them. */
  #reserved = new Set<string>();
  #batches = 0;
  #flushScheduled = false;

  constructor(
    readonly kind: Batchable<Item, Reply>,
    readonly pool: TenantPool,
    /** How many calls of a tenant may wait. Of all tenants together, twice as many. */
    readonly waitingMax: number,
    readonly telemetry?: Telemetry | undefined,
  ) {}

  /** How many calls wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Runs an item in a batch. If its call ends before the batch is sent, it fails with that reason and nothing
   * is done.
   */
  submit(item: Item, cancellation: CallCancellation, caller?: TracePoint): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (cancellation.reason) return reject(cancellation.reason);
      const queue = this.#queues.get(item.tenant) ?? { waiting: new Set(), credit: 0 };
      const { waitingMax } = this;
      if (queue.waiting.size >= waitingMax || this.#waiting >= 2 * waitingMax)
        return reject(overloaded(waitingMax));
      const submission = { item, cancellation, caller, resolve, reject };
      this.#queues.set(item.tenant, queue);
      queue.waiting.add(submission);
      this.#waiting++;
      // A call that ends leaves the queue at once.
      cancellation.listen(() => {
        this.#leave(queue, submission);
        reject(cancellation.reason);
      });
      // The batch that holds its conflict key flushes again when it comes back.
      if (this.kind.conflictKeys(item).some(({ name }) => this.#mustWait(name))) return;
      if (this.#waiting >= eagerSize && this.#batches < batchesMax) this.#flush();
      else this.#scheduleFlush();
    });
  }

  #leave(queue: Queue<Item, Reply>, submission: Submission<Item, Reply>): void {
    if (!queue.waiting.delete(submission)) return;
    this.#waiting--;
    const { tenant } = submission.item;
    if (queue.waiting.size === 0 && this.#queues.get(tenant) === queue) this.#queues.delete(tenant);
  }

  #mustWait(name: string): boolean {
    return this.#inFlight.has(name) || this.#reserved.has(name);
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#batches >= batchesMax) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      if (this.#batches < batchesMax) this.#flush(); // else the next batch that comes back does
    });
  }

  #flush(): void {
    const batch = this.#gather();
    if (batch.length === 0) return;
    const keys = batch.flatMap(({ item }) => this.kind.conflictKeys(item));
    for (const { name } of keys) this.#inFlight.add(name);
    this.#batches++;
    void Promise.all(this.#parts(batch).map((part) => this.#run(part))).then(() => {
      for (const { name } of keys) this.#inFlight.delete(name);
      this.#reserved = new Set();
      this.#batches--;
      if (this.#waiting > 0) this.#scheduleFlush();
    });
    if (this.#waiting > 0) this.#scheduleFlush();
  }

  /**
   * Takes calls that can go together now: tenants take turns, and of each the oldest come first. A call that has
   * to wait reserves its conflict keys.
   */
  #gather(): Submission<Item, Reply>[] {
    const batch: Submission<Item, Reply>[] = [];
    const taken = new Set<string>();
    const reserved = new Set<string>();
    this.#reserved = reserved;
    const weightMax = Math.min(Math.max(this.#waiting / 2, eagerSize), batchWeightMax);
    let weight = 0;
    /** The tenants with a call that this batch has no room for: they come first in the next one. */
    const first = new Set<Queue<Item, Reply>>();
    /** True if the call was taken, or has to wait; false if its tenant must save credit for it. */
    const pass = (queue: Queue<Item, Reply>, submission: Submission<Item, Reply>): boolean => {
      const { item } = submission;
      const keys = this.kind.conflictKeys(item);
      const added = this.kind.weight(item);
      const isBlocked = keys.some(
        ({ name, batchable }) =>
          this.#inFlight.has(name) || reserved.has(name) || (!batchable && taken.has(name)),
      );
      if (!isBlocked && added > queue.credit) return false;
      const lacksRoom = !isBlocked && batch.length > 0 && weight + added > weightMax;
      if (lacksRoom) first.add(queue);
      const mustWait = isBlocked || lacksRoom;
      for (const { name, batchable } of keys) (batchable && !mustWait ? taken : reserved).add(name);
      if (mustWait) return true;
      this.#leave(queue, submission);
      batch.push(submission);
      weight += added;
      queue.credit -= added;
      return true;
    };
    let turns = [...this.#queues].map(([tenant, queue]) => ({
      tenant,
      queue,
      left: [...firstOf(queue.waiting, scannedMax)].reverse(),
    }));
    while (turns.length > 0 && weight < weightMax)
      turns = turns.filter(({ tenant, queue, left }) => {
        if (weight >= weightMax) return false;
        queue.credit = Math.min(queue.credit + turnWeight, batchWeightMax);
        let isTaking = true;
        while (isTaking && left.length > 0 && weight < weightMax) {
          isTaking = pass(queue, left.at(-1) as Submission<Item, Reply>);
          if (isTaking) left.pop();
          if (first.has(queue)) return false;
        }
        if (left.length === 0) queue.credit = 0; // nothing that could be taken is left
        if (queue.waiting.size > 0) {
          this.#queues.delete(tenant);
          this.#queues.set(tenant, queue); // behind the others
        }
        return left.length > 0;
      });
    return batch;
  }

  #parts(batch: Submission<Item, Reply>[]): Submission<Item, Reply>[][] {
    const parts = this.kind.separate?.(batch.map(({ item }) => item));
    if (!parts || parts.length === 1) return [batch];
    return parts.map((part) => part.map((i) => batch[i] as Submission<Item, Reply>));
  }

  async #run(batch: Submission<Item, Reply>[]): Promise<void> {
    const abandoned = abortWhenAllLeft(batch);
    try {
      const tenants = [...new Set(batch.map(({ item }) => item.tenant))].sort();
      this.telemetry?.batch(this.kind.lane, batch.length);
      const callers = this.telemetry && batch.flatMap(({ caller }) => caller ?? []);
      const run = this.pool.run(tenants, abandoned.signal, callers);
      const replies = await this.kind.run(
        run,
        batch.map(({ item }) => item),
      );
      batch.forEach(({ resolve }, i) => {
        resolve(replies[i] as Reply);
      });
    } catch (error) {
      const half = batch.length >> 1;
      if (half > 0 && isRefused(error)) {
        await this.#run(batch.slice(0, half));
        await this.#run(batch.slice(half));
      } else
        for (const { reject, cancellation } of batch)
          reject(error === abandoned.signal.reason ? cancellation.reason : error);
    } finally {
      abandoned.stop();
    }
  }
}

function* firstOf<T>(items: Iterable<T>, max: number): Iterable<T> {
  let count = 0;
  for (const item of items) {
    if (count++ >= max) return;
    yield item;
  }
}

/**
 * A signal that aborts once every call of the batch has ended: only then may their statement be cancelled.
 */
function abortWhenAllLeft(batch: { cancellation: CallCancellation }[]) {
  const controller = new AbortController();
  let left = batch.length;
  const leave = () => {
    if (--left === 0) controller.abort(batch[0]?.cancellation.reason);
  };
  for (const { cancellation } of batch)
    if (cancellation.reason) leave();
    else cancellation.listen(leave);
  return {
    signal: controller.signal,
    stop() {
      for (const { cancellation } of batch) cancellation.listen(undefined);
    },
  };
}

/**
 * Checks that a row which a batch found is of the item's tenant. The views show such a statement
 * the rows of all tenants in its batch.
 */
export function ownRow<Row extends { tenant: string }>(
  item: TenantItem | undefined,
  row: Row,
): Row {
  if (row.tenant === item?.tenant) return row;
  throw new Error("a statement found the row of another tenant");
}
