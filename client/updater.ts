// What updaters make of a value: as JSON text, or the error with which an update fails.
import { CortexError } from "./error.js";
import { toJson } from "./json.js";
import { abortable } from "./retry.js";
import type { Made, Waiting } from "./update.js";

const togetherMax = 100;
const togetherCharsMax = 256 * 1024;

/** What those who wait make of the state, one after the other. One that takes its time goes alone. */
export async function compute(
  all: readonly Waiting[],
  before: string | undefined,
): Promise<Made[]> {
  const made: Made[] = [];
  let json = before;
  let chars = 0;
  for (const waiting of all) {
    if (waiting.settled) continue;
    if (made.length === togetherMax || chars > togetherCharsMax) break;
    const next = begin(json, waiting);
    if (next instanceof Promise) {
      next.catch(() => {});
      if (made.length > 0) break; // it runs again in its turn
      return [await outcome(waiting, inTime(next, waiting))];
    }
    made.push(next);
    if ("json" in next) {
      json = next.json;
      chars += next.json.length;
    }
  }
  return made;
}

/** Runs an updater on the state. */
function begin(json: string | undefined, waiting: Waiting): Made | Promise<unknown> {
  const { namespace, key, updater, options } = waiting;
  if (json === undefined && !options.createIfMissing) {
    const error = new CortexError(
      "KEY_NOT_FOUND",
      `nothing is stored under ${JSON.stringify(namespace)} / ${JSON.stringify(key)}; { createIfMissing: true } creates it`,
      { namespace, key },
    );
    return { waiting, error };
  }
  let next: unknown;
  try {
    next = updater(json === undefined ? null : JSON.parse(json));
  } catch (error) {
    return { waiting, error: thrown(error, waiting) };
  }
  return next instanceof Promise ? next : jsonOf(next, waiting);
}

const outcome = (waiting: Waiting, next: Promise<unknown>): Promise<Made> =>
  next.then(
    (value) => jsonOf(value, waiting),
    (error: unknown) => {
      if (error instanceof Late) throw error.cause;
      return { waiting, error: thrown(error, waiting) };
    },
  );

function jsonOf(value: unknown, waiting: Waiting): Made {
  try {
    return { waiting, json: toJson(value) };
  } catch (error) {
    return { waiting, error };
  }
}

function thrown(error: unknown, { namespace, key }: Waiting): CortexError {
  const said = error instanceof Error ? error.message : String(error);
  const message = `the updater threw: ${said}`;
  return new CortexError("UPDATE_FAILED", message, { namespace, key }, { cause: error });
}

/** An updater that did not end in time: its line goes on without it. */
class Late extends Error {}

function inTime<T>(work: Promise<T>, { deadline = 0, options }: Waiting): Promise<T> {
  const { signal } = options;
  let timer: NodeJS.Timeout | undefined;
  const bounded = abortable<T>(
    signal,
    () => {},
    (resolve, reject) => {
      const message = "the updater did not end in time; nothing was written";
      const error = new CortexError("DEADLINE_EXCEEDED", message);
      timer = setTimeout(() => reject(new Late("", { cause: error })), deadline - Date.now());
      work.then(resolve, reject);
    },
  );
  return bounded
    .catch((error: unknown) => {
      throw signal?.aborted ? new Late("", { cause: error }) : error;
    })
    .finally(() => clearTimeout(timer));
}
