// What updaters make of a value: as JSON text, or the error with which an update fails.
import { CortexError, said } from "../core/error.js";
import { toJson } from "../core/json.js";
import type { OperationInit, ReadState } from "./transactions/locked.js";
import type { Made, PendingUpdate } from "./update.js";

const togetherMax = 100;
const togetherCharsMax = 256 * 1024;

/** What those who wait make of the state, one after the other. One that takes its time goes alone. */
export async function compute(
  all: readonly PendingUpdate[],
  before: string | undefined,
): Promise<Made[]> {
  const made: Made[] = [];
  let json = before;
  let chars = 0;
  for (const waiting of all) {
    if (made.length === togetherMax || chars > togetherCharsMax) break;
    const next = begin(json, waiting);
    if (waiting.settled) continue; // its own updater has given it up
    if (isPromise(next)) {
      if (made.length === 0) return outcome(waiting, next);
      Promise.resolve(next).catch(() => {});
      break; // it runs again in its turn
    }
    made.push(next as Made);
    if ("json" in (next as Made)) {
      json = (next as { json: string }).json;
      chars += json.length;
    }
  }
  return made;
}

/** Anything with a `then`, as `await` has it. */
export const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === "function";

/** Runs an updater on the state. */
function begin(json: string | undefined, waiting: PendingUpdate): Made | PromiseLike<unknown> {
  const { namespace, key, updater, options } = waiting;
  if (json === undefined && !options.createIfMissing) {
    const error = new CortexError(
      "KEY_NOT_FOUND",
      `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}; { createIfMissing: true } creates it`,
      { namespace, key },
    );
    return { waiting, error };
  }
  try {
    const next = updater(json === undefined ? null : JSON.parse(json)) as unknown;
    return isPromise(next) ? next : jsonOf(next, waiting);
  } catch (error) {
    return { waiting, error: thrown(error, waiting) };
  }
}

/** What comes of a promise; nothing where its caller does not wait so long: the line goes on without it. */
function outcome(waiting: PendingUpdate, next: PromiseLike<unknown>): Promise<Made[]> {
  const made = Promise.resolve(next).then(
    (value) => [jsonOf(value, waiting)],
    (error: unknown) => [{ waiting, error: thrown(error, waiting) }],
  );
  const gone = new Promise<Made[]>((resolve) => {
    waiting.onSettled = () => resolve([]);
  });
  return Promise.race([made, gone]);
}

function jsonOf(value: unknown, waiting: PendingUpdate): Made {
  try {
    return { waiting, json: toJson(value) };
  } catch (error) {
    return { waiting, error: error instanceof CortexError ? error : thrown(error, waiting) };
  }
}

function thrown(error: unknown, { namespace, key }: PendingUpdate): CortexError {
  const message = `the updater threw: ${said(error)}`;
  return new CortexError("UPDATE_FAILED", message, { namespace, key }, { cause: error });
}

/** What they made, as operations of one commit. */
export function operationsOf(made: Made[], seen: ReadState): OperationInit[] {
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
