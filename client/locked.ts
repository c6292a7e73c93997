// A transaction on the server: what it has read is locked until it ends.
import { randomUUID } from "node:crypto";
import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import {
  MutableStore,
  type OperationResult,
  type OperationSchema,
  type TransactRequestSchema,
  type TransactResponseSchema,
} from "../gen/cortex/mutable/v1/mutable_pb.js";
import type { Caller, Conversation } from "./call.js";
import { CortexError } from "./error.js";
import { backOff } from "./retry.js";

export interface Place {
  namespace: string;
  key: string;
}

/** What was read under a key; no JSON: nothing. */
export interface Seen {
  json: string | undefined;
  revision: string;
}

export type OperationInit = MessageInitShape<typeof OperationSchema>;

type Messages = Conversation<
  MessageInitShape<typeof TransactRequestSchema>,
  MessageShape<typeof TransactResponseSchema>
>;

/** A transaction that is open. */
export class Locked {
  constructor(
    readonly messages: Messages,
    readonly requestId: string,
  ) {}

  async read(keys: readonly Place[]): Promise<Seen[]> {
    this.messages.send({ message: { case: "read", value: { keys: [...keys] } } });
    for (;;) {
      const { message } = await answer(this.messages);
      if (message.case !== "read") continue;
      return message.value.results.map(({ record }) => ({
        json: record?.valueJson,
        revision: record?.revision ?? "0",
      }));
    }
  }

  /** Writes and commits: the results of the operations. */
  async commit(operations: OperationInit[]): Promise<OperationResult[]> {
    const { messages, requestId } = this;
    if (operations.length > 0) messages.send({ message: { case: "write", value: { operations } } });
    messages.send({ message: { case: "commit", value: { requestId } } });
    for (;;) {
      const { message } = await answer(messages);
      if (message.case === "committed") return message.value.results;
    }
  }
}

/**
 * Does work in a transaction on the server, again where the server broke a circle of locks, and where the connection was lost: then it
 * asks first whether the work was committed. Whatever else the work throws ends it, rolled back.
 */
export async function underLock(
  caller: Caller,
  deadline: Date,
  signal: AbortSignal | undefined,
  work: (locked: Locked) => Promise<OperationResult[]>,
): Promise<OperationResult[]> {
  const requestId = randomUUID();
  for (let failures = 0; ; ) {
    let messages: Messages | undefined;
    try {
      messages = await caller.conversation(MutableStore.method.transact, deadline, signal);
      const begin = failures > 0 ? { requestId } : {};
      messages.send({ message: { case: "begin", value: begin } });
      if (failures > 0) {
        const { message } = await answer(messages);
        if (message.case === "committed") return message.value.results;
      }
      return await work(new Locked(messages, requestId));
    } catch (error) {
      await backOff(error, ++failures, Idempotency.IDEMPOTENT, deadline, signal);
    } finally {
      messages?.close();
    }
  }
}

async function answer(messages: Messages) {
  const response = await messages.next();
  if (response) return response;
  throw new CortexError("UNAVAILABLE", "the server ended the transaction");
}
