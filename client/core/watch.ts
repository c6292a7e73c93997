// What the watches of both stores share: their options, and going on from the last cursor.
import { ChangeKind } from "../../gen/cortex/changes/v1/changes_pb.js";
import { CortexError } from "./error.js";
import { checkSignal, checkTimeout } from "./retry.js";
import { callNames, flag, rejectUnknown, text } from "./validate.js";

/** The options of every watch. */
export interface WatchOptions {
  /** Goes on after this cursor, of a change or of `onProgress`, from the same watch. Default: from now on. */
  cursor?: string | undefined;
  /**
   * If true, what exists comes first, as changes of the kind `current`, in the order of names. Not together with
   * `cursor`. Default: false.
   */
  includeCurrent?: boolean | undefined;
  /**
   * Called when the watch has come further, also if nothing matched: at least every 10 seconds. A program that
   * stores the cursor can go on there later. `isCurrent` is true from when everything that existed has come.
   */
  onProgress?: ((cursor: string, isCurrent: boolean) => void) | undefined;
  /** Ends the watch: it fails with CANCELLED. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for which it tries to reach a server before it fails. Default: 60000. */
  timeoutMs?: number | undefined;
}

export const watchNames = ["cursor", "includeCurrent", "onProgress", ...callNames];

/** What happened to a key or a record. */
export type ChangeKindName = "set" | "delete" | "expire" | "purge" | "erase" | "current";

const kindNames: Partial<Record<ChangeKind, ChangeKindName>> = {
  [ChangeKind.SET]: "set",
  [ChangeKind.DELETE]: "delete",
  [ChangeKind.EXPIRE]: "expire",
  [ChangeKind.PURGE]: "purge",
  [ChangeKind.ERASE]: "erase",
  [ChangeKind.CURRENT]: "current",
};

export const kindName = (kind: ChangeKind): ChangeKindName =>
  kindNames[kind] ?? (ChangeKind[kind]?.toLowerCase() as ChangeKindName);

export function checkWatch<T extends WatchOptions>(options: T, more: readonly string[]): T {
  rejectUnknown(options, [...more, ...watchNames], "INVALID_OPTIONS", "watch");
  const { cursor, includeCurrent = false, signal, timeoutMs } = options;
  if (cursor !== undefined) text(cursor, "cursor", "INVALID_CURSOR");
  if (flag(includeCurrent, "includeCurrent") && cursor !== undefined) {
    const problem = "cannot go together with includeCurrent";
    throw new CortexError("INVALID_OPTIONS", `cursor ${problem}`, { field: "cursor", problem });
  }
  checkSignal(signal);
  if (timeoutMs !== undefined) checkTimeout(timeoutMs);
  return options;
}

interface Message<C> {
  changes: C[];
  cursor: string;
  currentComplete: boolean;
}

/**
 * Gives the changes of a watch. `open` gives the messages: `resume` returns the fields of the request that say
 * where it goes on.
 */
export async function* changesOf<C extends { cursor: string }, T>(
  { cursor, includeCurrent = false, onProgress }: WatchOptions,
  open: (resume: () => { cursor?: string; includeCurrent: boolean }) => AsyncIterable<Message<C>>,
  convert: (change: C) => T,
): AsyncGenerator<T, void, undefined> {
  let last = cursor;
  let isCurrent = !includeCurrent;
  const resume = () =>
    last === undefined ? { includeCurrent } : { includeCurrent: false, cursor: last };
  for await (const message of open(resume)) {
    for (const change of message.changes) {
      last = change.cursor;
      yield convert(change);
    }
    last = message.cursor;
    isCurrent ||= message.currentComplete;
    onProgress?.(last, isCurrent);
  }
}
