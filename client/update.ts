// update(fn): what the function made of a value is stored only if the value is still there; after some losses, under a lock. The
// updates that one client makes to one key form a line: those that wait go together, each on what the one before made of it, in one
// commit. So they do not conflict with each other, and each has its own revision and record.
import { setTimeout as pause } from "node:timers/promises";
import { MutableStore, type OperationResult } from "../gen/cortex/mutable/v1/mutable_pb.js";
import type { Caller, CallOptions } from "./call.js";
import type { Contention } from "./contention.js";
import { CortexError, type ErrorCode } from "./error.js";
import { type OperationInit, type Seen, underLock } from "./locked.js";
import { type MutableRecord, toRecord } from "./records.js";
import { abortable } from "./retry.js";
import { compute } from "./updater.js";

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

export interface Waiting extends Update {
  /** When its time is up, counted from its turn. */
  deadline: number | undefined;
  attempts: number;
  settled: boolean;
  resolve(record: MutableRecord): void;
  reject(error: unknown): void;
}

interface Line {
  waiting: Waiting[];
  /** What the last commit left, if nobody else wrote since. */
  seen: Seen | undefined;
  losses: number;
}

/** What an update made of the state before it. */
export type Made = { waiting: Waiting; json: string } | { waiting: Waiting; error: unknown };

const lossesMax = 2; // then a lock
const conflictPauseMs = 4;

export class Updates {
  readonly #lines = new Map<string, Line>();
  constructor(
    readonly caller: Caller,
    readonly contention: Contention,
  ) {}

  async update<T>(update: Update): Promise<MutableRecord<T>> {
    const { signal } = update.options;
    const id = `${update.namespace}\0${update.key}`;
    let waiting: Waiting | undefined;
    return abortable<MutableRecord<T>>(
      signal,
      () => {
        if (waiting) waiting.settled = true;
      },
      (resolve, reject) => {
        waiting = { ...update, deadline: undefined, attempts: 0, settled: false, resolve, reject };
        const line = this.#lines.get(id);
        if (line) line.waiting.push(waiting);
        else {
          const losses = this.contention.on(id) ? lossesMax : 0;
          void this.#work(id, { waiting: [waiting], seen: undefined, losses });
        }
      },
    );
  }

  /** Works the line off, round after round. */
  async #work(id: string, line: Line): Promise<void> {
    this.#lines.set(id, line);
    await Promise.resolve(); // those who come in the same turn go together
    for (;;) {
      line.waiting = line.waiting.filter(({ settled }) => !settled);
      const [first] = line.waiting;
      if (!first) break;
      await this.#round(id, line, first).catch((error: unknown) => {
        line.seen = undefined; // whatever failed, the next one reads for itself
        settle(first, () => first.reject(error));
      });
    }
    this.#lines.delete(id);
  }

  async #round(id: string, line: Line, first: Waiting): Promise<void> {
    first.deadline ??= Date.now() + (first.options.timeoutMs ?? this.caller.timeoutMs);
    if (first.attempts++ > 0 && Date.now() >= first.deadline) throw late(first);
    if (line.losses >= lossesMax) return this.#underLock(line, first);
    const known = line.seen;
    const seen = known ?? (await this.#read(first));
    const made = await compute(line.waiting, seen.json);
    if (made.every((one) => "error" in one)) {
      // What an updater makes of a state that is no longer current does not count.
      const now = known ? await this.#read(first) : seen;
      if (now.revision === seen.revision) finish(made, []);
      line.seen = undefined;
      return;
    }
    const records = await this.#commit(made, seen);
    if (records) {
      line.losses = 0;
      line.seen = finish(made, records);
    } else {
      if (++line.losses === lossesMax) this.contention.saw(id);
      line.seen = undefined;
      await pause(Math.random() * conflictPauseMs * line.losses);
    }
  }

  async #underLock(line: Line, first: Waiting): Promise<void> {
    const { namespace, key, options, deadline = 0 } = first;
    let made: Made[] = [];
    try {
      const results = await underLock(
        this.caller,
        new Date(deadline),
        options.signal,
        async (locked) => {
          const [seen] = (await locked.read([{ namespace, key }])) as [Seen];
          made = await compute(line.waiting, seen.json);
          return locked.commit(operationsOf(made, seen));
        },
      );
      line.seen = finish(made, results.map(recordOf));
    } catch (error) {
      if (refused(made, error)) return;
      // An updater that is too slow to hold a lock goes on without.
      if (!(error instanceof CortexError && error.code === "TRANSACTION_TIMEOUT")) throw error;
      line.losses = 0;
    }
  }

  async #read({ namespace, key, options }: Waiting): Promise<Seen> {
    const request = { namespace, key };
    const { record } = await this.caller.unary(MutableStore.method.getRecord, request, options);
    return { json: record?.valueJson, revision: record?.revision ?? "0" };
  }

  /** The records as committed; undefined where someone else was first. Any other failure may have been applied. */
  async #commit(made: Made[], seen: Seen): Promise<MutableRecord[] | undefined> {
    const { set, update, commit } = MutableStore.method;
    const [{ namespace, key, options }] = made.map(({ waiting }) => waiting) as [Waiting];
    const place = { namespace, key };
    const jsons = made.flatMap((one) => ("json" in one ? one.json : []));
    const { caller } = this;
    try {
      if (jsons.length > 1) {
        const condition =
          seen.json === undefined
            ? { case: "exists" as const, value: false }
            : { case: "revision" as const, value: seen.revision };
        const preconditions = [{ ...place, condition }];
        const operations = operationsOf(made, seen);
        const { results } = await caller.write(commit, { preconditions, operations }, options);
        return results.map(recordOf);
      }
      const [valueJson = ""] = jsons;
      const operation = { case: "replace" as const, value: { valueJson } };
      const { record } =
        seen.json === undefined
          ? await caller.write(set, { ...place, valueJson, ifAbsent: true }, options)
          : await caller.write(update, { ...place, operation, ifRevision: seen.revision }, options);
      return [toRecord(record)];
    } catch (error) {
      if (!(error instanceof CortexError)) throw error;
      const others = // were first
        conflicts.has(error.code) ||
        (error.code === "TRANSACTION_FAILED" && error.details.precondition_index !== undefined);
      if (others || refused(made, error)) return undefined;
      throw error;
    }
  }
}

const conflicts = new Set(["REVISION_MISMATCH", "KEY_EXISTS"]);

const late = ({ key, attempts, options }: Waiting) =>
  new CortexError(
    "DEADLINE_EXCEEDED",
    `others wrote ${JSON.stringify(key)} first, ${attempts - 1} times in ${options.timeoutMs ?? "its"} ms; nothing was written`,
    { attempts: `${attempts - 1}` },
  );

function settle(waiting: Waiting, how: () => void): void {
  if (!waiting.settled) how();
  waiting.settled = true;
}

/** Tells each update what became of it; what was left in the end. */
function finish(made: Made[], records: MutableRecord[]): Seen | undefined {
  let next = 0;
  let seen: Seen | undefined;
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

/** Whether the server refused what one of them made: it fails alone, the others go again. */
function refused(made: Made[], error: unknown): boolean {
  if (!(error instanceof CortexError) || error.code !== "TRANSACTION_FAILED") return false;
  const { operation_index: index, reason, problem } = error.details;
  const one = made.filter((each) => "json" in each)[Number(index)];
  if (!one) return false;
  const own = new CortexError(reason as ErrorCode, problem, { ...error.details });
  settle(one.waiting, () => one.waiting.reject(own));
  return true;
}

const recordOf = ({ result }: OperationResult): MutableRecord =>
  toRecord(result.case === "record" ? result.value : undefined);

function operationsOf(made: Made[], seen: Seen): OperationInit[] {
  let absent = seen.json === undefined;
  return made.flatMap((one) => {
    if (!("json" in one)) return [];
    const { namespace, key } = one.waiting;
    const value = { valueJson: one.json };
    const operation = absent
      ? { case: "set" as const, value }
      : { case: "replace" as const, value };
    absent = false;
    return [{ namespace, key, operation }];
  });
}
