// update(fn): read, compute, commit on the revision that was read, and again on conflict. The updates that one client makes to one
// key take turns, each starting from what the one before committed: they do not conflict with each other, and cost one call each.
import { setTimeout as pause } from "node:timers/promises";
import { MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import { abortable, type Caller, type CallOptions } from "./call.js";
import { CortexError } from "./error.js";
import { toJson } from "./json.js";
import { type MutableRecord, toRecord } from "./records.js";

export interface UpdateOptions extends CallOptions {
  /** Whether a missing key is created: the updater is then called with null. Default: it is KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
}

export type Updater<T = any> = (current: T) => T | Promise<T>;

/** One update: what is to be done, and until when. */
interface Update<T> {
  namespace: string;
  key: string;
  updater: Updater<T>;
  options: UpdateOptions;
}

/** What was last seen under a key; no JSON: nothing. */
interface Seen {
  json: string | undefined;
  revision: string;
  /** Whether it was read by this update, not left by the one before. */
  fresh: boolean;
}

interface Line {
  waiting: number;
  last: Promise<unknown>;
  seen: Seen | undefined;
}

const conflictPauseMs = 4;
const conflictPauseMsMax = 64;

export class Updates {
  readonly #lines = new Map<string, Line>();
  constructor(readonly caller: Caller) {}

  async update<T>(update: Update<T>): Promise<MutableRecord<T>> {
    const { signal } = update.options;
    const id = `${update.namespace}\0${update.key}`;
    const line = this.#lines.get(id) ?? { waiting: 0, last: Promise.resolve(), seen: undefined };
    this.#lines.set(id, line);
    line.waiting++;
    const turn = line.last.then(() => {
      signal?.throwIfAborted(); // its caller has been told already
      return this.#take(line, update);
    });
    line.last = turn
      .catch(() => {
        line.seen = undefined; // whatever failed, the next one reads for itself
      })
      .finally(() => {
        if (--line.waiting === 0) this.#lines.delete(id);
      });
    return abortable(
      signal,
      () => {},
      (resolve, reject) => turn.then(resolve, reject),
    );
  }

  async #take<T>(line: Line, update: Update<T>): Promise<MutableRecord<T>> {
    const timeoutMs = update.options.timeoutMs ?? this.caller.timeoutMs;
    const deadline = Date.now() + timeoutMs;
    let seen = line.seen ?? (await this.#read(update));
    for (let attempt = 1; ; attempt++) {
      const value = await compute(seen, update, deadline).catch((error: unknown) => ({ error }));
      if (typeof value !== "string") {
        // What an updater makes of a state that is no longer current does not count.
        if (seen.fresh) throw value.error;
        const { revision } = seen;
        seen = await this.#read(update);
        if (seen.revision === revision) throw value.error;
        continue;
      }
      const record = await this.#commit<T>(update, value, seen);
      if (record) {
        line.seen = { json: value, revision: record.revision, fresh: false };
        return record;
      }
      if (Date.now() >= deadline)
        throw new CortexError(
          "DEADLINE_EXCEEDED",
          `others wrote ${JSON.stringify(update.key)} first, ${attempt} times in ${timeoutMs} ms; nothing was written`,
          { attempts: `${attempt}` },
        );
      await pause(Math.random() * Math.min(conflictPauseMs * attempt, conflictPauseMsMax));
      seen = await this.#read(update);
    }
  }

  async #read<T>({ namespace, key, options }: Update<T>): Promise<Seen> {
    const request = { namespace, key };
    const { record } = await this.caller.unary(MutableStore.method.getRecord, request, options);
    return { json: record?.valueJson, revision: record?.revision ?? "0", fresh: true };
  }

  /** The record as committed; undefined where someone else was first. Any other failure may have been applied. */
  async #commit<T>(
    { namespace, key, options }: Update<T>,
    valueJson: string,
    { json, revision }: Seen,
  ): Promise<MutableRecord<T> | undefined> {
    const { set, update } = MutableStore.method;
    const place = { namespace, key };
    const operation = { case: "replace" as const, value: { valueJson } };
    const { caller } = this;
    const committed =
      json === undefined
        ? caller.unary(set, { ...place, valueJson, ifAbsent: true }, options)
        : caller.unary(update, { ...place, operation, ifRevision: revision }, options);
    const response = await committed.catch((error: unknown) => {
      const conflict = error instanceof CortexError && conflicts.has(error.code);
      if (!conflict) throw error;
      return undefined;
    });
    return response && toRecord<T>(response.record);
  }
}

const conflicts = new Set(["REVISION_MISMATCH", "KEY_EXISTS"]);

/** The next value as JSON text. */
async function compute<T>(
  { json }: Seen,
  { namespace, key, updater, options }: Update<T>,
  deadline: number,
): Promise<string> {
  if (json === undefined && !options.createIfMissing)
    throw new CortexError(
      "KEY_NOT_FOUND",
      `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}; { createIfMissing: true } creates it`,
      { namespace, key },
    );
  let next: T;
  try {
    const made = updater(json === undefined ? (null as T) : (JSON.parse(json) as T));
    next = made instanceof Promise ? await inTime(made, deadline, options.signal) : made;
  } catch (error) {
    if (error instanceof Late) throw error.cause;
    const said = error instanceof Error ? error.message : String(error);
    const message = `the updater threw: ${said}`;
    throw new CortexError("UPDATE_FAILED", message, { namespace, key }, { cause: error });
  }
  return toJson(next);
}

/** An updater that did not end in time: its line goes on without it. */
class Late extends Error {}

function inTime<T>(
  work: Promise<T>,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const bounded = abortable<T>(
    signal,
    () => {},
    (resolve, reject) => {
      const message = "the updater did not end in time; nothing was written";
      const late = new CortexError("DEADLINE_EXCEEDED", message);
      timer = setTimeout(() => reject(new Late("", { cause: late })), deadline - Date.now());
      work.then(resolve, reject);
    },
  );
  return bounded
    .catch((error: unknown) => {
      throw signal?.aborted ? new Late("", { cause: error }) : error;
    })
    .finally(() => clearTimeout(timer));
}
