// Operations on one entry, parsed from messages. The statement computes the new values (statement.ts). An
// error names the field as the caller wrote it.
import type { Message } from "@bufbuild/protobuf";
import type { SetOperation, UpdateRequest } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Config } from "../../config/config.js";
import { CortexError } from "../../errors/reasons.js";
import * as check from "../../validation/fields.js";
import { json, jsonObject, valueDepthMax } from "../../validation/json.js";
import type { EntryKey } from "./entry.js";

export interface Operation extends EntryKey {
  /** `check` changes nothing: it is a precondition. */
  kind: "check" | "set" | "add" | "append" | "merge" | "replace" | "expire" | "delete";
  /** The value, element or patch as JSON text; for `add` the amount as decimal text. */
  argument?: string | undefined;
  /** Of a `set`: undefined keeps the user that is there, null clears it. */
  userId?: string | null | undefined;
  metadata?: string | null | undefined;
  ttlSeconds?: number | undefined;
  /** The operation is refused unless the entry is present, or unless it is absent. */
  expects?: "present" | "absent" | undefined;
  ifRevision?: string | undefined;
}

/** The fields that SetRequest, BatchSetEntry and SetOperation share. */
type SetMessage = Omit<SetOperation, keyof Message>;

export function parseSet(
  entry: EntryKey,
  message: SetMessage,
  { valueBytesMax }: Config,
  prefix = "",
): Operation {
  const { valueJson, userId, clearUserId, metadataJson, clearMetadata, ttlSeconds } = message;
  const field = (name: string) => prefix + name;
  check.exclusive(field("clear_user_id"), clearUserId, field("user_id"), userId !== undefined);
  check.exclusive(
    field("clear_metadata"),
    clearMetadata,
    field("metadata_json"),
    metadataJson !== undefined,
  );
  const { tenant, namespace, key } = entry;
  return {
    tenant,
    namespace,
    key,
    kind: "set",
    argument: json(valueJson, field("value_json"), valueBytesMax),
    userId: clearUserId
      ? null
      : userId === undefined
        ? undefined
        : check.userId(userId, field("user_id")),
    metadata: clearMetadata
      ? null
      : metadataJson === undefined
        ? undefined
        : jsonObject(metadataJson, field("metadata_json")),
    ttlSeconds:
      ttlSeconds === undefined ? undefined : check.ttlSeconds(ttlSeconds, field("ttl_seconds")),
    expects: undefined,
    ifRevision: undefined,
  };
}

export type ChangeMessage = UpdateRequest["operation"];

/** Parses an operation that changes the value which is there. */
export function parseChange(
  entry: EntryKey,
  message: ChangeMessage,
  createIfMissing: boolean,
  config: Config,
  prefix = "",
): Operation {
  if (message.case === "expire") {
    if (createIfMissing)
      throw new CortexError("INVALID_OPTIONS", {
        field: `${prefix}create_if_missing`,
        problem: "means nothing for expire",
      });
    const ttlSeconds = check.ttlSeconds(message.value.ttlSeconds, `${prefix}expire.ttl_seconds`);
    return { ...entry, kind: "expire", ttlSeconds, expects: "present" };
  }
  const change = parseArgument(message, config.valueBytesMax, prefix);
  return { ...entry, ...change, expects: createIfMissing ? undefined : "present" };
}

function parseArgument(
  operation: Exclude<ChangeMessage, { case: "expire" }>,
  bytesMax: number,
  prefix: string,
): Pick<Operation, "kind" | "argument"> {
  const text = (value: string, field: string, depthMax?: number) =>
    json(value, prefix + field, bytesMax, depthMax);
  switch (operation.case) {
    case "increment": {
      const { amount = "1" } = operation.value;
      return { kind: "add", argument: check.amount(amount, `${prefix}increment.amount`) };
    }
    case "decrement": {
      const { amount = "1" } = operation.value;
      const exact = check.amount(amount, `${prefix}decrement.amount`);
      return { kind: "add", argument: exact.startsWith("-") ? exact.slice(1) : `-${exact}` };
    }
    case "append": {
      const { valueJson } = operation.value;
      return { kind: "append", argument: text(valueJson, "append.value_json", valueDepthMax - 1) };
    }
    case "merge": {
      const { patchJson } = operation.value;
      return { kind: "merge", argument: text(patchJson, "merge.patch_json", check.patchDepthMax) };
    }
    case "replace":
      return { kind: "replace", argument: text(operation.value.valueJson, "replace.value_json") };
    case undefined:
      throw new CortexError("INVALID_OPERATION", {
        field: `${prefix}operation`,
        problem: "is missing",
      });
  }
}
