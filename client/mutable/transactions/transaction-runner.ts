// Runs one transaction with a callback until it is committed or fails. It begins without locks. If others
// write first twice, it locks the keys that it reads.
import { setTimeout as pause } from "node:timers/promises";
import { MutableStore, type OperationResult } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../../core/error.js";
import { abortable } from "../../core/retry.js";
import type { Transport } from "../../core/transport.js";
import type { Contention } from "../contention.js";
import type { Transaction } from "./callback.js";
import { CallbackRun } from "./callback-run.js";
import {
  type EntryKey,
  keyName,
  type ListRequest,
  type LockedTransaction,
  listName,
  type OperationInit,
  type ReadState,
  underLock,
} from "./locked.js";

export type Callback = (tx: Transaction) => unknown;

const lossesMax = 2; // after this many, it takes locks
const operationsMax = 500; // the server's limits
const batchMax = 1000;
const runsMax = 2000;
const readsMax = 2000;
const conflictPauseMs = 4;

/** The states that were read, and the number of reads. All states from one read are from one snapshot. */
class Known {
  readonly keys = new Map<string, ReadState & EntryKey>();
  readonly lists = new Map<string, string[]>();
  reads = 0;
}

/** A transaction that is committed: the results of its operations, and the value of its callback. */
export interface Committed {
  results: OperationResult[];
  value: unknown;
}

/** One transaction, until it is committed or fails. */
export class TransactionRunner {
  #losses = 0;
  /** The keys that the callback has read. The next attempt fetches them together. */
  readonly #reads = new Map<string, EntryKey>();
  /** True while a commit that was sent may have been applied. */
  #sent = false;
  /** True if the values are too large to be read together. */
  #singly = false;

  constructor(
    readonly transport: Transport,
    readonly contention: Contention,
    readonly callback: Callback,
    readonly deadline: Date,
    readonly signal: AbortSignal | undefined,
    readonly maxAttempts: number,
  ) {}

  get sent(): boolean {
    return this.#sent;
  }

  async run(): Promise<Committed> {
    for (let attempt = 1; ; attempt++) {
      const committed =
        this.#losses < lossesMax ? await this.#optimistic() : await this.#underLocks();
      if (committed) return committed;
      if (attempt === this.maxAttempts) {
        const message = `others were first in each of ${attempt} attempts; nothing was written`;
        throw new CortexError("TRANSACTION_FAILED", message, {
          reason: "CONFLICT",
          attempts: `${attempt}`,
        });
      }
      if (++this.#losses === lossesMax)
        for (const id of this.#reads.keys()) this.contention.note(id);
      if (this.#losses < lossesMax) await pause(Math.random() * conflictPauseMs);
    }
  }

  /** Returns undefined if somebody else wrote first. */
  async #optimistic(): Promise<Committed | undefined> {
    const known = new Known();
    await this.#fetch(known, [...this.#reads.values()]);
    const run = await this.#settled(known, async (keys, lists) => {
      const isContended = keys.some((entry) => this.contention.isOn(keyName(entry)));
      if (isContended || lists.length > 0) throw new NeedsLocks();
      await this.#fetch(known, keys);
    }).catch(needsLocks);
    if (!run || run.operations.length + known.keys.size > operationsMax) return this.#underLocks();
    const { operations } = run;
    if (run.error || operations.length === 0) {
      // One read is one snapshot, so its states need no second check.
      const current = known.reads <= 1 || (await this.#commit(known, []));
      if (!current) return undefined;
      if (run.error) throw run.error;
      return { results: [], value: run.value };
    }
    const results = await this.#commit(known, operations);
    return results && { results, value: run.value };
  }

  async #underLocks(): Promise<Committed | undefined> {
    const { transport, deadline, signal } = this;
    try {
      const { results, context } = await underLock<unknown>(
        transport,
        deadline,
        signal,
        async (locked) => {
          const known = new Known();
          await this.#lock(known, locked, [...this.#reads.values()]);
          const run = await this.#settled(known, async (keys, lists) => {
            for (const list of lists) await this.#list(known, locked, list);
            await this.#lock(known, locked, keys);
          });
          if (run.error) throw run.error;
          this.#sent = true;
          return locked.commit(run.operations, run.value);
        },
      );
      return { results, value: context };
    } catch (error) {
      if (!(error instanceof CortexError)) throw error;
      switch (error.code) {
        case "TRANSACTION_TIMEOUT": // the callback is too slow to hold locks: try without them
          this.#losses = -1;
          return undefined;
        case "CONFLICT":
          return undefined;
        case "REPLY_TOO_LARGE":
          if (this.#singly) throw error;
          this.#singly = true;
          return undefined;
        default:
          throw error;
      }
    }
  }

  /** Runs the callback until all keys and lists that it reads are known. */
  async #settled(
    known: Known,
    fetch: (keys: EntryKey[], lists: ListRequest[]) => Promise<void>,
  ): Promise<CallbackRun> {
    for (let runs = 1; ; runs++) {
      const run = new CallbackRun(known, this.transport.json);
      await this.#inTime(run.take(this.callback));
      const { missing, missingLists } = run;
      if (missing.length === 0 && missingLists.length === 0) return run;
      if (runs === runsMax)
        throw new CortexError(
          "TRANSACTION_FAILED",
          `the callback wanted to read something else in each of ${runs} runs; nothing was written`,
          { reason: "INVALID_OPERATIONS" },
        );
      if (this.#reads.size < readsMax)
        for (const entry of missing) this.#reads.set(keyName(entry), entry);
      await fetch(missing, missingLists);
    }
  }

  async #fetch(known: Known, keys: EntryKey[]): Promise<void> {
    const namespaces = new Map<string, string[]>();
    for (const { namespace, key } of keys)
      namespaces.set(namespace, [...(namespaces.get(namespace) ?? []), key]);
    await Promise.all(
      [...namespaces].map(([namespace, keys]) => this.#fetchFrom(known, namespace, keys)),
    );
  }

  async #fetchFrom(known: Known, namespace: string, keys: string[]): Promise<void> {
    const half = keys.length >> 1;
    const halves = async () => {
      await this.#fetchFrom(known, namespace, keys.slice(0, half));
      await this.#fetchFrom(known, namespace, keys.slice(half));
    };
    if (keys.length > batchMax) return halves();
    try {
      known.reads++;
      const request = { namespace, keys };
      const { batchGet } = MutableStore.method;
      const { results } = await this.transport.unary(batchGet, request, this.#options());
      results.forEach(({ record }, i) => {
        const entry = { namespace, key: keys[i] ?? "" };
        const { valueJson, revision = "0" } = record ?? {};
        known.keys.set(keyName(entry), { ...entry, json: valueJson, revision });
      });
    } catch (error) {
      const large = error instanceof CortexError && error.code === "REPLY_TOO_LARGE";
      if (!large || keys.length === 1) throw error;
      await halves();
    }
  }

  /**
   * Locks and reads keys in sorted order (the order of every transaction), as many at a time as a message
   * takes.
   */
  async #lock(known: Known, locked: LockedTransaction<unknown>, keys: EntryKey[]): Promise<void> {
    const sorted = [...keys].sort((a, b) => (keyName(a) < keyName(b) ? -1 : 1));
    const size = this.#singly ? 1 : operationsMax;
    for (let i = 0; i < sorted.length; i += size) {
      const some = sorted.slice(i, i + size);
      const seen = await locked.read(some);
      some.forEach((entry, n) => {
        known.keys.set(keyName(entry), { ...entry, ...(seen[n] as ReadState) });
      });
    }
  }

  /** Lists entries; their states are then known too. */
  async #list(known: Known, locked: LockedTransaction<unknown>, list: ListRequest): Promise<void> {
    const entries = await locked.list(list);
    known.lists.set(
      listName(list),
      entries.map(({ key }) => key),
    );
    for (const entry of entries) known.keys.set(keyName(entry), entry);
  }

  async #commit(known: Known, operations: OperationInit[]): Promise<OperationResult[] | undefined> {
    const preconditions = [...known.keys.values()].map(({ namespace, key, json, revision }) => ({
      namespace,
      key,
      condition:
        json === undefined
          ? { case: "exists" as const, value: false }
          : { case: "revision" as const, value: revision },
    }));
    this.#sent = operations.length > 0;
    try {
      const request = { preconditions, operations };
      return (await this.transport.write(MutableStore.method.commit, request, this.#options()))
        .results;
    } catch (error) {
      const first =
        error instanceof CortexError &&
        error.code === "TRANSACTION_FAILED" &&
        error.details.precondition_index !== undefined;
      if (!first) throw error;
      this.#sent = false;
      return undefined;
    }
  }

  #options() {
    return { timeoutMs: Math.max(this.deadline.getTime() - Date.now(), 1), signal: this.signal };
  }

  /** Waits for the callback, at most until the deadline. */
  #inTime(work: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    return abortable<void>(
      this.signal,
      () => {},
      (resolve, reject) => {
        const late = new CortexError("DEADLINE_EXCEEDED", "", { applied: "no" });
        timer = setTimeout(() => reject(late), this.deadline.getTime() - Date.now());
        work.then(resolve, reject);
      },
    ).finally(() => clearTimeout(timer));
  }
}

/** Ends an attempt without locks, because it lists entries or reads a key that others wrote recently. */
class NeedsLocks extends Error {}

function needsLocks(error: unknown): undefined {
  if (!(error instanceof NeedsLocks)) throw error;
}
