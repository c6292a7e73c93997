// Parses the list form of a transaction into operations of a commit.

import { refused } from "../../core/error.js";
import { type Json, toJson } from "../../core/json.js";
import {
  amountText,
  flag,
  keyText,
  namespaceText,
  rejectUnknown,
  secondsOf,
} from "../../core/validate.js";
import { type EventToPublish, eventInit } from "../../events/event.js";
import { type ImmutableEntry, storeInit } from "../../immutable/versions.js";
import { type AppendEntryOptions, appendInit } from "../../streams/entry.js";
import { entryNames, setInit } from "../entries.js";
import type { EntryOptions } from "../options.js";
import { valueName } from "../records.js";
import type { OperationInit } from "./locked.js";

interface At {
  namespace: string;
  key: string;
}

interface Changes extends At {
  /**
   * If true, a missing key is created, from 0, `[]` or `{}`. Default: the transaction fails with
   * KEY_NOT_FOUND.
   */
  createIfMissing?: boolean | undefined;
}

/** One operation of the list form of `transaction`. */
export type Operation =
  /** Stores a value, whether or not the key exists. */
  | ({ op: "set"; value: unknown } & At & EntryOptions)
  /** Replaces the value of a key. */
  | ({ op: "update"; value: unknown } & Changes)
  /** Adds to or subtracts from a number. `amount` is 1 unless given. */
  | ({ op: "increment" | "decrement"; amount?: number | string | bigint | undefined } & Changes)
  /** Appends an element to an array. */
  | ({ op: "append"; value: unknown } & Changes)
  /** Merges a patch into an object, as JSON merge patch does. */
  | ({ op: "merge"; value: unknown } & Changes)
  /** Sets when a key expires; a missing one fails the transaction. */
  | ({ op: "expire" | "touch"; ttlSeconds: number } & At)
  /** Deletes a key; a missing one fails the transaction. */
  | ({ op: "delete" } & At)
  /** Stores a version of an immutable record: see `immutable.store`. */
  | ({ op: "store"; ifVersion?: number | undefined } & ImmutableEntry)
  /** Publishes an event, exactly if the transaction is committed: see `events.publish`. */
  | ({ op: "publish" } & EventToPublish)
  /** Appends an entry to a stream, exactly if the transaction is committed: see `streams.append`. */
  | ({ op: "appendEntry"; stream: string; data: unknown } & AppendEntryOptions);

const operationsMax = 500; // the server's limit

export function toOperations(list: readonly Operation[], json: Json): OperationInit[] {
  if (list.length === 0) throw invalid("operations", "are none");
  if (list.length > operationsMax)
    throw invalid("operations", `are too many: ${list.length}, at most ${operationsMax}`);
  return list.map((operation, i) => toOperation(operation, json, `operations[${i}]`));
}

type OnEntry = Exclude<Operation, { op: "store" | "publish" | "appendEntry" }>;

const known: Record<OnEntry["op"], string[]> = {
  set: ["value", ...entryNames],
  update: ["value", "createIfMissing"],
  increment: ["amount", "createIfMissing"],
  decrement: ["amount", "createIfMissing"],
  append: ["value", "createIfMissing"],
  merge: ["value", "createIfMissing"],
  expire: ["ttlSeconds"],
  touch: ["ttlSeconds"],
  delete: [],
};

function toOperation(given: Operation, json: Json, field: string): OperationInit {
  if (typeof given !== "object" || given === null) throw invalid(field, "is not an object");
  if (given.op === "store") {
    const { op: _, ifVersion, ...entry } = given;
    return { operation: { case: "store", value: storeInit(entry, ifVersion, json, `${field}.`) } };
  }
  if (given.op === "publish") {
    const { op: _, ...event } = given;
    return { operation: { case: "publish", value: eventInit(event, `${field}.`) } };
  }
  if (given.op === "appendEntry") {
    const { op: _, stream, data, ...options } = given;
    return {
      operation: { case: "appendEntries", value: appendInit(stream, data, options, field) },
    };
  }
  const names = Object.hasOwn(known, given.op) ? known[given.op] : undefined;
  if (!names)
    throw invalid(
      `${field}.op`,
      `is none of ${Object.keys(known).join(", ")}, store, publish, appendEntry: ${String(given.op)}`,
    );
  rejectUnknown(given, ["op", "namespace", "key", ...names], "INVALID_OPERATIONS", field);
  const entry = { namespace: namespaceText(given.namespace), key: keyText(given.key) };
  const { createIfMissing = false } = given as Changes;
  return {
    ...entry,
    operation: operationOf(given, json, `${field}.`),
    createIfMissing: flag(createIfMissing, `${field}.createIfMissing`),
  };
}

function operationOf(
  given: OnEntry,
  json: Json,
  prefix: string,
): NonNullable<OperationInit["operation"]> {
  const before = json.textsAt(valueName(given.namespace, given.key));
  switch (given.op) {
    case "set":
      return { case: "set", value: setInit(given, given.value, given, json, prefix) };
    case "update":
      return {
        case: "replace",
        value: { valueJson: toJson(given.value, `${prefix}value`, before) },
      };
    case "increment":
    case "decrement":
      return { case: given.op, value: { amount: amountText(given.amount ?? 1) } };
    case "append":
      return { case: "append", value: { valueJson: toJson(given.value, `${prefix}value`) } };
    case "merge":
      return { case: "merge", value: { patchJson: toJson(given.value, `${prefix}value`, before) } };
    case "expire":
    case "touch":
      return { case: "expire", value: { ttlSeconds: secondsOf(given.ttlSeconds) } };
    case "delete":
      return { case: "delete", value: {} };
  }
}

const invalid = (field: string, problem: string) => refused("INVALID_OPERATIONS", field, problem);
