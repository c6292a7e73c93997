// Messages -> operations: each checked, with the field that is wrong named as the caller wrote it.
import type { Message } from "@bufbuild/protobuf";
import type {
  Operation as OperationMessage,
  SetOperation,
  UpdateRequest,
} from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import type { Config } from "../../config/config.js";
import { CortexError } from "../../errors/reasons.js";
import type { Call } from "../../grpc/call.js";
import * as check from "../../validation/fields.js";
import { type NewVersion, parseStore } from "../versions/store.js";
import type { EntryKey, Operation } from "./apply.js";

/** The fields that SetRequest, BatchSetEntry and SetOperation share. */
type SetMessage = Omit<SetOperation, keyof Message>;

export function parseKey(
  tenant: string,
  { namespace, key }: { namespace: string; key: string },
  prefix = "",
): EntryKey {
  return {
    tenant,
    namespace: check.namespace(namespace, `${prefix}namespace`),
    key: check.key(key, `${prefix}key`),
  };
}

export function parseSet(
  at: EntryKey,
  message: SetMessage,
  { valueBytesMax }: Config,
  prefix = "",
): Operation {
  const { valueJson, userId, clearUserId, metadataJson, clearMetadata, ttlSeconds } = message;
  const field = (name: string) => prefix + name;
  check.exclusive([field("clear_user_id"), clearUserId], [field("user_id"), userId !== undefined]);
  check.exclusive(
    [field("clear_metadata"), clearMetadata],
    [field("metadata_json"), metadataJson !== undefined],
  );
  return {
    ...at,
    kind: "set",
    argument: check.json(valueJson, field("value_json"), valueBytesMax),
    userId: clearUserId
      ? null
      : userId === undefined
        ? undefined
        : check.userId(userId, field("user_id")),
    metadata: clearMetadata
      ? null
      : metadataJson === undefined
        ? undefined
        : check.jsonObject(metadataJson, field("metadata_json")),
    ttlSeconds:
      ttlSeconds === undefined ? undefined : check.ttlSeconds(ttlSeconds, field("ttl_seconds")),
  };
}

type Change = UpdateRequest["operation"];

/** What changes the value that is there. */
export function parseChange(
  at: EntryKey,
  operation: Change,
  createIfMissing: boolean,
  config: Config,
  prefix = "",
): Operation {
  const change = kindOf(operation, config.valueBytesMax, prefix);
  return { ...at, ...change, expects: createIfMissing ? undefined : "present" };
}

function kindOf(
  operation: Change,
  bytesMax: number,
  prefix: string,
): Pick<Operation, "kind" | "argument"> {
  const json = (text: string, field: string, depthMax?: number) =>
    check.json(text, prefix + field, bytesMax, depthMax);
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
      const argument = json(valueJson, "append.value_json", check.valueDepthMax - 1);
      return { kind: "append", argument };
    }
    case "merge": {
      const { patchJson } = operation.value;
      return { kind: "merge", argument: json(patchJson, "merge.patch_json", check.patchDepthMax) };
    }
    case "replace":
      return { kind: "replace", argument: json(operation.value.valueJson, "replace.value_json") };
    case undefined:
      throw new CortexError("INVALID_OPERATION", {
        field: `${prefix}operation`,
        problem: "is missing",
      });
  }
}

/** One step of a transaction: an operation on a key, or the store of a version. */
export type TransactionStep = Operation | NewVersion;

function stepOf(
  call: Call,
  message: OperationMessage,
  context: Context,
  prefix: string,
): TransactionStep {
  const { tenant, config } = call;
  const { operation, createIfMissing } = message;
  const refuse = (field: string, problem: string) =>
    new CortexError("INVALID_OPERATIONS", { field: prefix + field, problem });
  switch (operation.case) {
    case "set":
    case "delete":
    case "store":
      if (createIfMissing)
        throw refuse("create_if_missing", `means nothing for a ${operation.case}`);
      if (operation.case === "store") {
        if (message.namespace !== "" || message.key !== "")
          throw refuse("namespace", "and key mean nothing for a store");
        return parseStore(call, operation.value, context.requestId, `${prefix}store.`);
      }
      return operation.case === "delete"
        ? { ...parseKey(tenant, message, prefix), kind: "delete", expects: "present" }
        : parseSet(parseKey(tenant, message, prefix), operation.value, config, `${prefix}set.`);
    case undefined:
      parseKey(tenant, message, prefix);
      throw refuse("operation", "is missing");
    default: {
      const at = parseKey(tenant, message, prefix);
      return parseChange(at, operation as Change, createIfMissing, config, prefix);
    }
  }
}

interface Context {
  /** How many of the 500 that a transaction may have are taken. */
  used: number;
  /** How many operations came before. */
  done?: number;
  /** The id that all of it is requested under. */
  requestId?: string | undefined;
}

/** The steps of a transaction. */
export function parseSteps(
  call: Call,
  messages: OperationMessage[],
  context: Context,
): TransactionStep[] {
  const { used, done = 0 } = context;
  const got = used + messages.length;
  if (got > check.operationsMax)
    throw new CortexError("INVALID_OPERATIONS", {
      field: "operations",
      problem: "are too many",
      limit: `${check.operationsMax}`,
      got: `${got}`,
    });
  return messages.map((message, i) => {
    try {
      return stepOf(call, message, context, `operations[${i}].`);
    } catch (error) {
      if (!(error instanceof CortexError)) throw error;
      throw new CortexError(error.reason, { ...error.details, operation_index: `${done + i}` });
    }
  });
}
