// Group commit: calls that arrive while a statement is on its way share the next one. There is no timer: what one turn of the event
// loop brings goes together, at once on an idle server. Where a shared statement fails, its calls run one by one, so that one bad
// row does not fail its neighbours.

import { codeOf } from "../errors/reasons.js";
import type { Run } from "../postgres/connection.js";
import { overloaded } from "../postgres/fair-semaphore.js";
import type { TenantPool } from "../postgres/pool.js";
import type { CallCancellation } from "./in-flight.js";

const batchesMax = 2; // in flight: one is in the database while the next is gathered
export const weightMax = 128;
// So many go at once, and no batch takes more than half of those who wait: the database works on some while the others are taken in
// or answered. (64 callers that go all together and wait all together: 5000 increments/s, in turns: 7000.)
const eager = 16;
const scannedMax = 1024; // calls that wait for others, looked at for each batch

/** A call that can share a statement. */
interface Item {
  tenant: string;
}

/** A kind of statement that calls share. */
export interface Batchable<Call extends Item, Reply> {
  /** Runs calls together; their replies, in their order. */
  run(run: Run, calls: Call[]): Promise<Reply[]>;
  /** What the call takes of a batch's 128. */
  weight(call: Call): number;
  /** What no other batch in flight may touch, since one would wait for the other. */
  touches(call: Call): readonly ConflictKey[];
}

export interface ConflictKey {
  name: string;
  /** Whether other calls of the same batch may touch it too. */
  batchable: boolean;
}

interface Submission<Call, Reply> {
  call: Call;
  ending: CallCancellation;
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

export class GroupCommit<Call extends Item, Reply> {
  readonly #waiting = new Set<Submission<Call, Reply>>();
  /** What batches in flight touch, and what those wait for who must go before others. */
  readonly #touched = new Set<string>();
  #closed = new Set<string>();
  #batches = 0;
  #flushing = false;

  constructor(
    readonly shared: Batchable<Call, Reply>,
    readonly lane: TenantPool,
    readonly waitingMax: number,
  ) {}

  /** Runs a call with whatever others there are. If it ends before its statement is sent, it fails with the reason and is not done. */
  submit(call: Call, ending: CallCancellation): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (ending.reason) return reject(ending.reason);
      if (this.#waiting.size >= this.waitingMax) return reject(overloaded(this.waitingMax));
      this.#waiting.add({ call, ending, resolve, reject });
      // One that must wait for a batch goes when that has come back.
      if (this.shared.touches(call).some(({ name }) => this.#held(name))) return;
      if (this.#waiting.size >= eager && this.#batches < batchesMax) this.#flush();
      else this.#soon();
    });
  }

  #held(name: string): boolean {
    return this.#touched.has(name) || this.#closed.has(name);
  }

  #soon(): void {
    if (this.#flushing || this.#batches >= batchesMax) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const batch = this.#gather();
    if (batch.length === 0) return;
    const touched = batch.flatMap(({ call }) => this.shared.touches(call));
    for (const { name } of touched) this.#touched.add(name);
    this.#batches++;
    void this.#run(batch).then(() => {
      for (const { name } of touched) this.#touched.delete(name);
      this.#closed = new Set();
      this.#batches--;
      if (this.#waiting.size > 0) this.#soon();
    });
    if (this.#waiting.size > 0) this.#soon();
  }

  /** The oldest calls that can go together now. One that must wait lets no younger one go first to what both touch. */
  #gather(): Submission<Call, Reply>[] {
    const batch: Submission<Call, Reply>[] = [];
    const taken = new Set<string>();
    const closed = new Set<string>();
    this.#closed = closed;
    let scanned = 0;
    const most = Math.min(Math.max(this.#waiting.size / 2, eager), weightMax);
    let weight = 0;
    for (const waiting of this.#waiting) {
      if (waiting.ending.reason) {
        this.#waiting.delete(waiting);
        waiting.reject(waiting.ending.reason);
        continue;
      }
      if (weight >= most || scanned++ > scannedMax) break;
      const touches = this.shared.touches(waiting.call);
      const added = this.shared.weight(waiting.call);
      const waits =
        (batch.length > 0 && weight + added > most) ||
        touches.some(
          ({ name, batchable }) =>
            this.#touched.has(name) || closed.has(name) || (!batchable && taken.has(name)),
        );
      for (const { name, batchable } of touches) (batchable && !waits ? taken : closed).add(name);
      if (waits) continue;
      this.#waiting.delete(waiting);
      batch.push(waiting);
      weight += added;
    }
    return batch;
  }

  async #run(batch: Submission<Call, Reply>[]): Promise<void> {
    const abandoned = abandonment(batch);
    try {
      const tenants = [...new Set(batch.map(({ call }) => call.tenant))].sort();
      const run = this.lane.run(tenants, abandoned.signal);
      const replies = await this.shared.run(
        run,
        batch.map(({ call }) => call),
      );
      batch.forEach(({ resolve }, i) => {
        resolve(replies[i] as Reply);
      });
    } catch (error) {
      if (batch.length > 1 && rolledBack(error))
        await Promise.all(batch.map((waiting) => this.#run([waiting])));
      else
        for (const { reject, ending } of batch)
          reject(error === abandoned.signal.reason ? ending.reason : error);
    } finally {
      abandoned.stop();
    }
  }
}

/** A signal that aborts once nobody of the batch waits any longer: only then may their statement be cancelled. */
function abandonment(batch: { ending: CallCancellation }[]) {
  const controller = new AbortController();
  let left = batch.length;
  const leave = () => {
    if (--left === 0) controller.abort(batch[0]?.ending.reason);
  };
  for (const { ending } of batch)
    if (ending.reason) leave();
    else ending.listen(leave);
  return {
    signal: controller.signal,
    stop() {
      for (const { ending } of batch) ending.listen(undefined);
    },
  };
}

/** Whether the database itself refused the statement, for what was in it: classes 08, 53, 57 and 58 are about its own state. */
const rolledBack = (error: unknown): boolean =>
  /^(?!08|533|57|58)[0-9A-Z]{5}$/.test(codeOf(error) ?? "");

/** The shares of a server: one for each kind of statement. */
export class GroupCommits {
  readonly #shares = new Map<unknown, unknown>();

  constructor(
    readonly lane: TenantPool,
    /** How many calls may wait for each. */
    readonly waitingMax: number,
  ) {}

  of<Call extends Item, Reply>(shared: Batchable<Call, Reply>): GroupCommit<Call, Reply> {
    const known = this.#shares.get(shared) as GroupCommit<Call, Reply> | undefined;
    if (known) return known;
    const share = new GroupCommit(shared, this.lane, this.waitingMax);
    this.#shares.set(shared, share);
    return share;
  }
}

/**
 * A row that a shared statement found for a call. The barrier lets the statement reach the tenants of all calls in it, so that a row is
 * also asked whose it is.
 */
export function ownRow<Row extends { tenant: string }>(asked: Item | undefined, row: Row): Row {
  if (row.tenant === asked?.tenant) return row;
  throw new Error("a statement found the row of another tenant");
}
