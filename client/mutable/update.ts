// Runs update(fn). The new value is stored only if the entry still has the revision that the function got. If
// others write first twice, it takes a lock. Updates that one client makes to one key at the same time form a
// queue. All that wait go together in one commit, where each works on the value of the update before it. So
// they do not conflict, and each has its own revision and record.
import { setTimeout as pause } from "node:timers/promises";
import { MutableStore, type OperationResult } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError, type ErrorCode, withCallerStack } from "../core/error.js";
import type { Json } from "../core/json.js";
import { abortable, certainlyNot, checkSignal, checkTimeout } from "../core/retry.js";
import type { Transport } from "../core/transport.js";
import type { Contention } from "./contention.js";
import { type Computed, type PendingUpdate, settle, type UpdateRequest } from "./pending-update.js";
import { type MutableRecord, toRecord, valueName } from "./records.js";
import { type ReadState, underLock } from "./transactions/locked.js";
import { compute, operationsOf } from "./updater.js";

/** The updates of one key. */
interface UpdateQueue {
  waiting: PendingUpdate[];
  /** The state that the last commit left; undefined if it must be read. */
  known: ReadState | undefined;
  losses: number;
  /** How many updates must still be sent one by one, because one of their batch was refused. */
  single: number;
}

const lossesMax = 2; // after this many, it takes a lock
const conflictPauseMs = 4;

export class Updates {
  readonly #queues = new Map<string, UpdateQueue>();

  constructor(
    readonly transport: Transport,
    readonly contention: Contention,
  ) {}

  async update<T>(request: UpdateRequest): Promise<MutableRecord<T>> {
    const { signal } = request.options;
    checkSignal(signal);
    const timeoutMs = checkTimeout(request.options.timeoutMs ?? this.transport.timeoutMs);
    const deadline = Date.now() + timeoutMs;
    const id = `${request.namespace}\0${request.key}`;
    let update: PendingUpdate | undefined;
    let timer: NodeJS.Timeout | undefined;
    const done = abortable<MutableRecord<T>>(
      signal,
      () => {
        if (update) settle(update, () => {});
      },
      (resolve, reject) => {
        const pending: PendingUpdate = {
          ...request,
          deadline,
          losses: 0,
          sent: false,
          settled: false,
          resolve,
          reject,
          onSettled: undefined,
        };
        update = pending;
        const onTimeout = async () => {
          const missing = pending.sent ? undefined : await this.transport.connection.missing();
          // Meanwhile it may have been sent.
          const error = pending.sent ? undefined : missing;
          settle(pending, () => reject(error ?? tooLate(pending, timeoutMs)));
        };
        timer = setTimeout(onTimeout, timeoutMs);
        const queue = this.#queues.get(id);
        if (queue) queue.waiting.push(pending);
        else {
          const losses = this.contention.isOn(id) ? lossesMax : 0;
          void this.#work(id, { waiting: [pending], known: undefined, losses, single: 0 });
        }
      },
    );
    try {
      return await done;
    } catch (error) {
      throw withCallerStack(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Processes the queue in rounds, until it is empty. */
  async #work(id: string, queue: UpdateQueue): Promise<void> {
    this.#queues.set(id, queue);
    await Promise.resolve(); // updates of the same turn of the event loop go together
    for (;;) {
      queue.waiting = queue.waiting.filter(({ settled }) => !settled);
      const [first] = queue.waiting;
      if (!first) break;
      try {
        if (queue.losses >= lossesMax) await this.#underLock(queue, first);
        else await this.#optimistic(id, queue, first);
      } catch (error) {
        // The key could not be read, so every update that waits for it fails.
        for (const update of queue.waiting) settle(update, () => update.reject(error));
      }
    }
    this.#queues.delete(id);
  }

  async #optimistic(id: string, queue: UpdateQueue, first: PendingUpdate): Promise<void> {
    const { known } = queue;
    const read = known ?? (await this.#read(queue, first));
    queue.known = undefined; // it stays undefined unless this round commits
    const computed = await compute(nextRound(queue), read.json, this.transport.json);
    if (computed.every((one) => "error" in one)) {
      // An error counts only if the updater had the current state.
      const now = known ? await this.#read(queue, first) : read;
      if (now.revision === read.revision) finish(computed, [], this.transport.json);
      return;
    }
    const records = await this.#commit(computed, read).catch((error: unknown) => {
      commitFailed(queue, computed, error);
      return "failed" as const;
    });
    if (records === "failed") return;
    if (records) {
      queue.losses = 0;
      queue.known = finish(computed, records, this.transport.json);
      return;
    }
    for (const { update } of computed) update.losses++;
    if (++queue.losses === lossesMax) this.contention.note(id);
    await pause(Math.random() * conflictPauseMs * queue.losses);
  }

  async #underLock(queue: UpdateQueue, { namespace, key }: PendingUpdate): Promise<void> {
    queue.known = undefined;
    let last: Computed[] = [];
    try {
      const { results, context } = await underLock<Computed[]>(
        this.transport,
        new Date(latestDeadline(queue)),
        undefined,
        async (locked) => {
          const [read] = (await locked.read([{ namespace, key }])) as [ReadState];
          const computed = await compute(nextRound(queue), read.json, this.transport.json);
          last = computed;
          for (const { update } of computed) update.sent = true;
          return locked.commit(operationsOf(computed, read), computed);
        },
      );
      const records = results.map((result) => recordOf(result, this.transport.json));
      queue.known = finish(context, records, this.transport.json);
    } catch (error) {
      // The server ended the transaction because the updater is too slow to hold a lock. The next round tries
      // without a lock.
      if (error instanceof CortexError && error.code === "TRANSACTION_TIMEOUT") queue.losses = 0;
      else if (last.length > 0) commitFailed(queue, last, error);
      else throw error;
    }
  }

  async #read(queue: UpdateQueue, { namespace, key }: PendingUpdate): Promise<ReadState> {
    const request = { namespace, key };
    const options = { timeoutMs: msUntil(latestDeadline(queue)) };
    const { record } = await this.transport.unary(MutableStore.method.getRecord, request, options);
    return { json: record?.valueJson, revision: record?.revision ?? "0" };
  }

  /**
   * Returns the records as committed; undefined if somebody else wrote first. The commit may take until the
   * latest deadline of its updates. Each update still fails at its own deadline (see `update`).
   */
  async #commit(computed: Computed[], read: ReadState): Promise<MutableRecord[] | undefined> {
    const { set, update, commit } = MutableStore.method;
    const writing = computed.flatMap((one) => ("json" in one ? one : []));
    const [{ update: first, json: valueJson }] = writing as [
      { update: PendingUpdate; json: string },
    ];
    for (const one of writing) one.update.sent = true;
    const entry = { namespace: first.namespace, key: first.key };
    const options = {
      timeoutMs: msUntil(Math.max(...writing.map((one) => one.update.deadline))),
    };
    const { transport } = this;
    try {
      if (writing.length > 1) {
        const condition =
          read.json === undefined
            ? { case: "exists" as const, value: false }
            : { case: "revision" as const, value: read.revision };
        const preconditions = [{ ...entry, condition }];
        const operations = operationsOf(computed, read);
        const { results } = await transport.write(commit, { preconditions, operations }, options);
        return results.map((result) => recordOf(result, transport.json));
      }
      const operation = { case: "replace" as const, value: { valueJson } };
      const { record } =
        read.json === undefined
          ? await transport.write(set, { ...entry, valueJson, ifAbsent: true }, options)
          : await transport.write(
              update,
              { ...entry, operation, ifRevision: read.revision },
              options,
            );
      return [toRecord(record, transport.json)];
    } catch (error) {
      const lost =
        error instanceof CortexError &&
        (conflictCodes.has(error.code) || error.details.precondition_index !== undefined);
      if (!lost) throw error;
      for (const one of writing) one.update.sent = false;
      return undefined;
    }
  }
}

const conflictCodes = new Set(["REVISION_MISMATCH", "KEY_EXISTS"]);

/** The updates of the next round. */
function nextRound(queue: UpdateQueue): PendingUpdate[] {
  const waiting = queue.waiting.filter(({ settled }) => !settled);
  if (queue.single === 0) return waiting;
  queue.single--;
  return waiting.slice(0, 1);
}

const latestDeadline = ({ waiting }: UpdateQueue) =>
  Math.max(...waiting.map(({ deadline }) => deadline));
const msUntil = (deadline: number) => Math.max(deadline - Date.now(), 1);

const tooLate = ({ key, losses, sent }: PendingUpdate, timeoutMs: number) =>
  new CortexError(
    "DEADLINE_EXCEEDED",
    sent
      ? `the update did not end within ${timeoutMs} ms; it may have been written`
      : `the update did not end within ${timeoutMs} ms (others wrote ${JSON.stringify(key)} first ${losses} times); nothing was written`,
    { applied: sent ? "unknown" : "no" },
  );

/** Gives each update its outcome. Returns the state that the commit left. */
function finish(
  computed: Computed[],
  records: MutableRecord[],
  reader: Json,
): ReadState | undefined {
  let next = 0;
  let left: ReadState | undefined;
  for (const one of computed) {
    const { update } = one;
    if ("error" in one) {
      settle(update, () => update.reject(one.error));
      continue;
    }
    const record = withValue(records[next++] as MutableRecord, one.json, reader);
    left = { json: one.json, revision: record.revision };
    settle(update, () => update.resolve(record));
  }
  return left;
}

/** The record with the value that was computed here, if the reply to a repeated commit left it out. */
function withValue(record: MutableRecord, json: string, reader: Json): MutableRecord {
  const { valueOmitted, ...rest } = record;
  const { namespace, key } = record;
  return valueOmitted ? { ...rest, value: reader.parse(json, valueName(namespace, key)) } : record;
}

/**
 * Handles a commit that failed. If it may have been applied, all its updates fail, because none may run
 * again. If it was refused, only the update that the server names fails. If the server names none, a single
 * update fails, and several updates are sent again one by one.
 */
function commitFailed(queue: UpdateQueue, computed: Computed[], error: unknown): void {
  const writing = computed.flatMap((one) => ("json" in one ? one.update : []));
  if (!certainlyNot(error)) {
    for (const update of writing) settle(update, () => update.reject(error));
    return;
  }
  for (const update of writing) update.sent = false;
  const named = writing[Number((error as CortexError).details.operation_index)];
  const culprit = named ?? (writing.length === 1 ? writing[0] : undefined);
  const isStale = (error as CortexError).details.reason === "FENCE_STALE";
  if (culprit)
    settle(culprit, () =>
      culprit.reject(named || isStale ? operationError(error as CortexError) : error),
    );
  else queue.single = writing.length;
}

/** The error of the operation itself, taken from the error of its transaction. */
function operationError(error: CortexError): CortexError {
  if (error.code !== "TRANSACTION_FAILED") return error;
  const { reason, problem } = error.details;
  return new CortexError(reason as ErrorCode, problem, { ...error.details });
}

const recordOf = ({ result }: OperationResult, json: Json): MutableRecord =>
  toRecord(result.case === "record" ? result.value : undefined, json);
