// Runs the updaters of update(fn). The outcome of each is a new value as JSON text, or the error with which
// its update fails.
import { CortexError, messageOf } from "../core/error.js";
import { type Json, toJson } from "../core/json.js";
import type { NumberTexts, ParsedJson } from "../core/numbers.js";
import type { Computed, PendingUpdate } from "./pending-update.js";
import type { OperationInit, ReadState } from "./transactions/locked.js";

const batchMax = 100;
const batchCharsMax = 256 * 1024;

/**
 * Runs the updaters in order, each on the value that the one before returned. An async updater runs alone.
 */
export async function compute(
  updates: readonly PendingUpdate[],
  before: string | undefined,
  reader: Json,
): Promise<Computed[]> {
  const computed: Computed[] = [];
  let json = before;
  let chars = 0;
  for (const update of updates) {
    if (computed.length === batchMax || chars > batchCharsMax) break;
    const read = json === undefined ? undefined : reader.read(json);
    const next = runUpdater(read, update);
    if (update.settled) continue; // the updater itself has cancelled its call
    if (isPromise(next)) {
      if (computed.length === 0) return outcomeOf(update, read?.texts, next);
      Promise.resolve(next).catch(() => {});
      break; // it runs again, alone, in the next round
    }
    computed.push(next as Computed);
    if ("json" in (next as Computed)) {
      json = (next as { json: string }).json;
      chars += json.length;
    }
  }
  return computed;
}

/** True if the value has a method `then`, which is how `await` decides. */
export const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === "function";

function runUpdater(
  read: ParsedJson | undefined,
  update: PendingUpdate,
): Computed | PromiseLike<unknown> {
  const { namespace, key, updater, options } = update;
  if (read === undefined && !options.createIfMissing) {
    const error = new CortexError(
      "KEY_NOT_FOUND",
      `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}; { createIfMissing: true } creates it`,
      { namespace, key },
    );
    return { update, error };
  }
  try {
    const next = updater(read === undefined ? null : read.value) as unknown;
    return isPromise(next) ? next : computedOf(next, read?.texts, update);
  } catch (error) {
    return { update, error: updaterThrew(error, update) };
  }
}

/**
 * Waits for an async updater and gives its outcome. If the caller of the update gives up first, it gives an
 * empty list at once, so the queue does not wait for the updater.
 */
function outcomeOf(
  update: PendingUpdate,
  before: NumberTexts | undefined,
  next: PromiseLike<unknown>,
): Promise<Computed[]> {
  const computed = Promise.resolve(next).then(
    (value) => [computedOf(value, before, update)],
    (error: unknown) => [{ update, error: updaterThrew(error, update) }],
  );
  const givenUp = new Promise<Computed[]>((resolve) => {
    update.onSettled = () => resolve([]);
  });
  return Promise.race([computed, givenUp]);
}

function computedOf(
  value: unknown,
  before: NumberTexts | undefined,
  update: PendingUpdate,
): Computed {
  try {
    return { update, json: toJson(value, "value", before) };
  } catch (error) {
    return { update, error: error instanceof CortexError ? error : updaterThrew(error, update) };
  }
}

function updaterThrew(error: unknown, { namespace, key }: PendingUpdate): CortexError {
  const message = `the updater threw: ${messageOf(error)}`;
  return new CortexError("UPDATE_FAILED", message, { namespace, key }, { cause: error });
}

/** The new values as operations of one commit. */
export function operationsOf(computed: Computed[], read: ReadState): OperationInit[] {
  let absent = read.json === undefined;
  return computed.flatMap((one) => {
    if (!("json" in one)) return [];
    const { namespace, key } = one.update;
    const value = { valueJson: one.json };
    const operation = absent
      ? { case: "set" as const, value }
      : { case: "replace" as const, value };
    absent = false;
    return [{ namespace, key, operation }];
  });
}
