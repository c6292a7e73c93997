// update(fn): read, compute, commit on the revision that was read, and again on conflict. The updates that one client makes to one
// key take turns, each starting from what the one before committed: they do not conflict with each other, and cost one call each.
import { setTimeout as pause } from "node:timers/promises";
import { MutableStore } from "../gen/cortex/mutable/v1/mutable_pb.js";
import type { Caller, CallOptions } from "./call.js";
import { CortexError } from "./error.js";
import { toJson } from "./json.js";
import { type MutableRecord, toRecord } from "./records.js";

export interface UpdateOptions extends CallOptions {
  /** Whether a missing key is created: the updater is then called with null. Default: it is KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
}

export type Updater<T = any> = (current: T) => T | Promise<T>;

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

  async update<T>(
    namespace: string,
    key: string,
    updater: Updater<T>,
    options: UpdateOptions,
  ): Promise<MutableRecord<T>> {
    const id = `${namespace}\0${key}`;
    const line = this.#lines.get(id) ?? { waiting: 0, last: Promise.resolve(), seen: undefined };
    this.#lines.set(id, line);
    line.waiting++;
    const turn = line.last.then(() => this.#take(line, namespace, key, updater, options));
    line.last = turn.catch(() => {
      line.seen = undefined; // whatever failed, the next one reads for itself
    });
    try {
      return await turn;
    } finally {
      if (--line.waiting === 0) this.#lines.delete(id);
    }
  }

  async #take<T>(
    line: Line,
    namespace: string,
    key: string,
    updater: Updater<T>,
    options: UpdateOptions,
  ): Promise<MutableRecord<T>> {
    const timeoutMs = options.timeoutMs ?? this.caller.timeoutMs;
    const deadline = Date.now() + timeoutMs;
    let seen = line.seen ?? (await this.#read(namespace, key, options));
    for (let attempt = 1; ; attempt++) {
      try {
        const value = await compute(seen, namespace, key, updater, options);
        const record = await this.#commit<T>(namespace, key, value, seen, options);
        line.seen = { json: value, revision: record.revision, fresh: false };
        return record;
      } catch (error) {
        // What the updater made of a state that is no longer current does not count.
        const conflict =
          error instanceof CortexError &&
          (error.code === "REVISION_MISMATCH" || error.code === "KEY_EXISTS");
        if (!conflict && seen.fresh) throw error;
        const before = seen;
        seen = await this.#read(namespace, key, options);
        if (!conflict && seen.revision === before.revision) throw error;
      }
      if (Date.now() >= deadline)
        throw new CortexError(
          "DEADLINE_EXCEEDED",
          `others wrote ${JSON.stringify(key)} first, ${attempt} times in ${timeoutMs} ms; nothing was written`,
          { attempts: `${attempt}` },
        );
      await pause(Math.random() * Math.min(conflictPauseMs * attempt, conflictPauseMsMax));
    }
  }

  async #read(namespace: string, key: string, options: CallOptions): Promise<Seen> {
    const { record } = await this.caller.unary(
      MutableStore.method.getRecord,
      { namespace, key },
      options,
    );
    return { json: record?.valueJson, revision: record?.revision ?? "0", fresh: true };
  }

  async #commit<T>(
    namespace: string,
    key: string,
    valueJson: string,
    { json, revision }: Seen,
    options: CallOptions,
  ): Promise<MutableRecord<T>> {
    const { set, update } = MutableStore.method;
    const { record } =
      json === undefined
        ? await this.caller.unary(set, { namespace, key, valueJson, ifAbsent: true }, options)
        : await this.caller.unary(
            update,
            {
              namespace,
              key,
              operation: { case: "replace", value: { valueJson } },
              ifRevision: revision,
            },
            options,
          );
    return toRecord<T>(record);
  }
}

async function compute<T>(
  { json }: Seen,
  namespace: string,
  key: string,
  updater: Updater<T>,
  { createIfMissing }: UpdateOptions,
): Promise<string> {
  if (json === undefined && !createIfMissing)
    throw new CortexError(
      "KEY_NOT_FOUND",
      `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}; { createIfMissing: true } creates it`,
      { namespace, key },
    );
  let next: T;
  try {
    next = await updater(json === undefined ? (null as T) : (JSON.parse(json) as T));
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new CortexError(
      "UPDATE_FAILED",
      `the updater threw: ${said}`,
      { namespace, key },
      { cause: error },
    );
  }
  return toJson(next);
}
