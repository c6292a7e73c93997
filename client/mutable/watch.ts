// Watches of MutableStore.
import { type Change, MutableStore } from "../../gen/cortex/mutable/v1/mutable_pb.js";
import type { CallOptions } from "../core/call-options.js";
import { toDate } from "../core/codec.js";
import { CortexError } from "../core/error.js";
import type { Json } from "../core/json.js";
import { checkTimeout } from "../core/retry.js";
import type { Transport } from "../core/transport.js";
import { callOptions, keyText, namespaceText, text } from "../core/validate.js";
import {
  type ChangeKindName,
  changesOf,
  checkWatch,
  kindName,
  type WatchOptions,
} from "../core/watch.js";
import { valueName } from "./records.js";

/** The options of `mutable.watch`. */
export interface MutableWatchOptions extends WatchOptions {
  /** Only keys that begin with this. Default: all keys. */
  keyPrefix?: string | undefined;
  /** Only this key. Not together with `keyPrefix`. */
  key?: string | undefined;
}

/** A change of an entry. */
export interface MutableChange<T = any> {
  /** `set`: it was stored or changed. `current`: it existed when the watch began. All others removed it. */
  kind: ChangeKindName;
  namespace: string;
  key: string;
  /** The value; undefined if the entry was removed. */
  value?: T;
  /** The revision of the value, or the one that the removal ended. */
  revision: string;
  /** The agent that wrote or removed it; undefined: it had no `agentId`, or the server removed it. */
  updatedBy?: string;
  /** When it happened; of an expiry its time. */
  at: Date;
  /** The place of this change: a later watch goes on after it. */
  cursor: string;
}

export function watch<T>(
  transport: Transport,
  namespace: string,
  options: MutableWatchOptions,
): AsyncGenerator<MutableChange<T>, void, undefined> {
  const { key, keyPrefix } = checkWatch(options, ["key", "keyPrefix"]);
  const names = {
    namespace: namespaceText(namespace),
    ...(key !== undefined && { key: keyText(key) }),
    ...(keyPrefix !== undefined && { keyPrefix: text(keyPrefix, "keyPrefix", "INVALID_FILTER") }),
  };
  const { signal, timeoutMs } = options;
  return changesOf(
    options,
    (resume) =>
      transport.endless(MutableStore.method.watch, () => ({ ...names, ...resume() }), {
        signal,
        timeoutMs,
      }),
    (change) => toChange<T>(change, transport.json),
  );
}

function toChange<T>(change: Change, json: Json): MutableChange<T> {
  const { kind, namespace, key, valueJson, revision, updatedBy, time, cursor } = change;
  return {
    kind: kindName(kind),
    namespace,
    key,
    ...(valueJson !== undefined && { value: json.parse<T>(valueJson, valueName(namespace, key)) }),
    revision,
    ...(updatedBy !== undefined && { updatedBy }),
    at: toDate(time),
    cursor,
  };
}

/** Waits until the value of a key satisfies a condition. */
export async function waitFor<T>(
  transport: Transport,
  namespace: string,
  key: string,
  condition: (value: T | null) => unknown,
  options: CallOptions,
): Promise<T | null> {
  callOptions(options, "waitFor");
  if (typeof condition !== "function")
    throw new CortexError("INVALID_OPTIONS", "condition is not a function", {
      field: "condition",
      problem: "is not a function",
    });
  const timeoutMs = checkTimeout(options.timeoutMs ?? transport.timeoutMs);
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const names = { namespace: namespaceText(namespace), key: keyText(key) };
  let cursor: string | undefined;
  let isKnown = false;
  const request = () => ({
    ...names,
    ...(cursor === undefined ? { includeCurrent: true } : { cursor }),
  });
  try {
    const messages = transport.endless(MutableStore.method.watch, request, { signal, timeoutMs });
    for await (const message of messages) {
      for (const change of message.changes) {
        isKnown = true;
        const { value = null } = toChange<T>(change, transport.json);
        if (condition(value)) return value;
      }
      if (message.currentComplete && !isKnown && condition(null)) return null;
      cursor = message.cursor;
    }
  } catch (error) {
    if (!timeout.aborted || options.signal?.aborted) throw error;
    const missing = await transport.connection.missing();
    if (missing) throw missing;
    const message = `the value did not become what was waited for within ${timeoutMs} ms`;
    throw new CortexError("DEADLINE_EXCEEDED", message, {}, { cause: error });
  }
  return null; // a watch has no end
}
