// update(fn): what the function made of a value is stored only if the value is still there; after some losses, under a lock. The
// updates that one client makes to one key form a line: those that wait go together, each on what the one before made of it, in one
// commit. So they do not conflict with each other, and each has its own revision and record.
import { setTimeout as pause } from "node:timers/promises";
import { MutableStore, type OperationResult } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError, type ErrorCode } from "../core/error.js";
import { abortable, certainlyNot, checkSignal, checkTimeout } from "../core/retry.js";
import type { CallOptions, Transport } from "../core/transport.js";
import type { Contention } from "./contention.js";
import { type MutableRecord, toRecord } from "./records.js";
import { type ReadState, underLock } from "./transactions/locked.js";
import { compute, operationsOf } from "./updater.js";

export interface UpdateOptions extends CallOptions {
  /** Whether a missing key is created: the updater is then called with null. Default: it is KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
}

export type Updater<T = any> = (current: T) => T | Promise<T>;

/** One update: what is to be done, and until when. */
interface Update {
  namespace: string;
  key: string;
  updater: Updater;
  options: UpdateOptions;
}

export interface PendingUpdate extends Update {
  /** Until when its caller waits. */
  deadline: number;
  /** How often somebody else was first. */
  losses: number;
  /** Whether what it made has been sent: then it may have been written. */
  sent: boolean;
  settled: boolean;
  resolve(record: MutableRecord): void;
  reject(error: unknown): void;
  /** Called when it is settled, while its updater takes its time. */
  onSettled: (() => void) | undefined;
}

interface UpdateQueue {
  waiting: PendingUpdate[];
  /** What the last commit left, if nobody else wrote since. */
  seen: ReadState | undefined;
  losses: number;
  /** How many go by themselves: among those who went together, one was refused. */
  single: number;
}

/** What an update made of the state before it. */
export type Made =
  | { waiting: PendingUpdate; json: string }
  | { waiting: PendingUpdate; error: unknown };

const lossesMax = 2; // then a lock
const conflictPauseMs = 4;

export class Updates {
  readonly #lines = new Map<string, UpdateQueue>();
  constructor(
    readonly caller: Transport,
    readonly contention: Contention,
  ) {}

  async update<T>(update: Update): Promise<MutableRecord<T>> {
    const { signal, timeoutMs = this.caller.timeoutMs } = update.options;
    checkSignal(signal);
    const deadline = Date.now() + checkTimeout(timeoutMs);
    const id = `${update.namespace}\0${update.key}`;
    let waiting: PendingUpdate | undefined;
    let timer: NodeJS.Timeout | undefined;
    const done = abortable<MutableRecord<T>>(
      signal,
      () => {
        if (waiting) settle(waiting, () => {});
      },
      (resolve, reject) => {
        const mine: PendingUpdate = {
          ...update,
          deadline,
          losses: 0,
          sent: false,
          settled: false,
          resolve,
          reject,
          onSettled: undefined,
        };
        waiting = mine;
        timer = setTimeout(() => settle(mine, () => reject(late(mine, timeoutMs))), timeoutMs);
        const line = this.#lines.get(id);
        if (line) line.waiting.push(mine);
        else {
          const losses = this.contention.on(id) ? lossesMax : 0;
          void this.#work(id, { waiting: [mine], seen: undefined, losses, single: 0 });
        }
      },
    );
    return done.finally(() => clearTimeout(timer));
  }

  /** Works the line off, round after round. */
  async #work(id: string, line: UpdateQueue): Promise<void> {
    this.#lines.set(id, line);
    await Promise.resolve(); // those who come in the same turn go together
    for (;;) {
      line.waiting = line.waiting.filter(({ settled }) => !settled);
      const [first] = line.waiting;
      if (!first) break;
      try {
        if (line.losses >= lossesMax) await this.#underLock(line, first);
        else await this.#optimistic(id, line, first);
      } catch (error) {
        // Nothing could be read: whoever waits for the same would not fare better.
        for (const waiting of line.waiting) settle(waiting, () => waiting.reject(error));
      }
    }
    this.#lines.delete(id);
  }

  async #optimistic(id: string, line: UpdateQueue, first: PendingUpdate): Promise<void> {
    const known = line.seen;
    const seen = known ?? (await this.#read(line, first));
    line.seen = undefined; // unless this round leaves it
    const made = await compute(toGo(line), seen.json);
    if (made.every((one) => "error" in one)) {
      // What an updater makes of a state that is no longer current does not count.
      const now = known ? await this.#read(line, first) : seen;
      if (now.revision === seen.revision) finish(made, []);
      return;
    }
    const records = await this.#commit(made, seen).catch((error: unknown) => {
      failed(line, made, error);
      return "failed" as const;
    });
    if (records === "failed") return;
    if (records) {
      line.losses = 0;
      line.seen = finish(made, records);
      return;
    }
    for (const { waiting } of made) waiting.losses++;
    if (++line.losses === lossesMax) this.contention.saw(id);
    await pause(Math.random() * conflictPauseMs * line.losses);
  }

  async #underLock(line: UpdateQueue, { namespace, key }: PendingUpdate): Promise<void> {
    line.seen = undefined;
    let last: Made[] = [];
    try {
      const { results, context } = await underLock<Made[]>(
        this.caller,
        new Date(latest(line)),
        undefined,
        async (locked) => {
          const [seen] = (await locked.read([{ namespace, key }])) as [ReadState];
          const made = await compute(toGo(line), seen.json);
          last = made;
          for (const { waiting } of made) waiting.sent = true;
          return locked.commit(operationsOf(made, seen), made);
        },
      );
      line.seen = finish(context, results.map(recordOf));
    } catch (error) {
      // An updater that is too slow to hold a lock goes on without.
      if (error instanceof CortexError && error.code === "TRANSACTION_TIMEOUT") line.losses = 0;
      else if (last.length > 0) failed(line, last, error);
      else throw error;
    }
  }

  async #read(line: UpdateQueue, { namespace, key }: PendingUpdate): Promise<ReadState> {
    const request = { namespace, key };
    const options = { timeoutMs: left(latest(line)) };
    const { record } = await this.caller.unary(MutableStore.method.getRecord, request, options);
    return { json: record?.valueJson, revision: record?.revision ?? "0" };
  }

  /** The records as committed; undefined where someone else was first. Each of them waits for it by its own clock. */
  async #commit(made: Made[], seen: ReadState): Promise<MutableRecord[] | undefined> {
    const { set, update, commit } = MutableStore.method;
    const writing = made.flatMap((one) => ("json" in one ? one : []));
    const [{ waiting, json: valueJson }] = writing as [{ waiting: PendingUpdate; json: string }];
    for (const one of writing) one.waiting.sent = true;
    const place = { namespace: waiting.namespace, key: waiting.key };
    const options = {
      timeoutMs: left(Math.max(...writing.map((one) => one.waiting.deadline))),
    };
    const { caller } = this;
    try {
      if (writing.length > 1) {
        const condition =
          seen.json === undefined
            ? { case: "exists" as const, value: false }
            : { case: "revision" as const, value: seen.revision };
        const preconditions = [{ ...place, condition }];
        const operations = operationsOf(made, seen);
        const { results } = await caller.write(commit, { preconditions, operations }, options);
        return results.map(recordOf);
      }
      const operation = { case: "replace" as const, value: { valueJson } };
      const { record } =
        seen.json === undefined
          ? await caller.write(set, { ...place, valueJson, ifAbsent: true }, options)
          : await caller.write(update, { ...place, operation, ifRevision: seen.revision }, options);
      return [toRecord(record)];
    } catch (error) {
      const others = // were first
        error instanceof CortexError &&
        (conflicts.has(error.code) || error.details.precondition_index !== undefined);
      if (!others) throw error;
      for (const one of writing) one.waiting.sent = false;
      return undefined;
    }
  }
}

const conflicts = new Set(["REVISION_MISMATCH", "KEY_EXISTS"]);

/** Those of the line who go in this round. */
function toGo(line: UpdateQueue): PendingUpdate[] {
  const waiting = line.waiting.filter(({ settled }) => !settled);
  if (line.single === 0) return waiting;
  line.single--;
  return waiting.slice(0, 1);
}

const latest = ({ waiting }: UpdateQueue) => Math.max(...waiting.map(({ deadline }) => deadline));
const left = (deadline: number) => Math.max(deadline - Date.now(), 1);

const late = ({ key, losses, sent }: PendingUpdate, timeoutMs: number) =>
  new CortexError(
    "DEADLINE_EXCEEDED",
    sent
      ? `the update did not end within ${timeoutMs} ms; it may have been written`
      : `the update did not end within ${timeoutMs} ms (others wrote ${JSON.stringify(key)} first ${losses} times); nothing was written`,
    { applied: sent ? "unknown" : "no" },
  );

function settle(waiting: PendingUpdate, how: () => void): void {
  if (waiting.settled) return;
  waiting.settled = true;
  how();
  waiting.onSettled?.();
}

/** Tells each update what became of it; what was left in the end. */
function finish(made: Made[], records: MutableRecord[]): ReadState | undefined {
  let next = 0;
  let seen: ReadState | undefined;
  for (const one of made) {
    const { waiting } = one;
    if ("error" in one) {
      settle(waiting, () => waiting.reject(one.error));
      continue;
    }
    const record = records[next++] as MutableRecord;
    seen = { json: one.json, revision: record.revision };
    settle(waiting, () => waiting.resolve(record));
  }
  return seen;
}

/**
 * A commit that failed. Where it may have been applied, nobody runs again who is in it. Where it was refused, one of them is to blame:
 * each goes by itself, unless the server says who it was.
 */
function failed(line: UpdateQueue, made: Made[], error: unknown): void {
  const writing = made.flatMap((one) => ("json" in one ? one.waiting : []));
  if (!certainlyNot(error)) {
    for (const waiting of writing) settle(waiting, () => waiting.reject(error));
    return;
  }
  for (const waiting of writing) waiting.sent = false;
  const named = writing[Number((error as CortexError).details.operation_index)];
  const one = named ?? (writing.length === 1 ? writing[0] : undefined);
  if (one) settle(one, () => one.reject(named ? ownOf(error as CortexError) : error));
  else line.single = writing.length;
}

/** What went wrong with an operation itself, not with the transaction that it was in. */
function ownOf(error: CortexError): CortexError {
  if (error.code !== "TRANSACTION_FAILED") return error;
  const { reason, problem } = error.details;
  return new CortexError(reason as ErrorCode, problem, { ...error.details });
}

const recordOf = ({ result }: OperationResult): MutableRecord =>
  toRecord(result.case === "record" ? result.value : undefined);
