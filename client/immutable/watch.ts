// Watches of ImmutableStore.
import { type Change, ImmutableStore } from "../../gen/cortex/immutable/v1/immutable_pb.js";
import { toDate } from "../core/codec.js";
import type { Json } from "../core/json.js";
import type { Transport } from "../core/transport.js";
import { text } from "../core/validate.js";
import {
  type ChangeKindName,
  changesOf,
  checkWatch,
  kindName,
  type WatchOptions,
} from "../core/watch.js";
import { dataName } from "./versions.js";

/** The options of `immutable.watch`. */
export interface ImmutableWatchOptions extends WatchOptions {
  /** Only ids that begin with this. Default: all ids. */
  idPrefix?: string | undefined;
  /** Only this id. Not together with `idPrefix`. */
  id?: string | undefined;
}

/** A change of a record. */
export interface ImmutableChange<T = any> {
  /** `set`: a version was stored. `current`: it existed when the watch began. All others removed the record. */
  kind: ChangeKindName;
  type: string;
  id: string;
  /** The data of the version; undefined if the record was removed. */
  data?: T;
  /** The version, or the one that the removal ended. */
  version: number;
  /** The agent that stored or purged it; undefined: it had no `agentId`, or the server removed it. */
  agentId?: string;
  /** When it happened. */
  at: Date;
  /** The place of this change: a later watch goes on after it. */
  cursor: string;
}

export function watch<T>(
  transport: Transport,
  type: string,
  options: ImmutableWatchOptions,
): AsyncGenerator<ImmutableChange<T>, void, undefined> {
  const { id, idPrefix } = checkWatch(options, ["id", "idPrefix"]);
  const names = {
    type: text(type, "type", "INVALID_TYPE"),
    ...(id !== undefined && { id: text(id, "id", "INVALID_ID") }),
    ...(idPrefix !== undefined && { idPrefix: text(idPrefix, "idPrefix", "INVALID_FILTER") }),
  };
  const { signal, timeoutMs } = options;
  return changesOf(
    options,
    (resume) =>
      transport.endless(ImmutableStore.method.watch, () => ({ ...names, ...resume() }), {
        signal,
        timeoutMs,
      }),
    (change) => toChange<T>(change, transport.json),
  );
}

function toChange<T>(change: Change, json: Json): ImmutableChange<T> {
  const { kind, type, id, dataJson, version, agentId, time, cursor } = change;
  return {
    kind: kindName(kind),
    type,
    id,
    ...(dataJson !== undefined && { data: json.parse<T>(dataJson, dataName({ type, id })) }),
    version,
    ...(agentId !== undefined && { agentId }),
    at: toDate(time),
    cursor,
  };
}
