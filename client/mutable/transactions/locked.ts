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
} from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import { CortexError } from "../../core/error.js";
import { backOff, certainlyNot } from "../../core/retry.js";
import type { Conversation, Transport } from "../../core/transport.js";

export interface EntryKey {
  namespace: string;
  key: string;
}

/** What was read under a key; no JSON: nothing. */
export interface ReadState {
  json: string | undefined;
  revision: string;
}

export type OperationInit = MessageInitShape<typeof OperationSchema>;

type Messages = Conversation<
  MessageInitShape<typeof TransactRequestSchema>,
  MessageShape<typeof TransactResponseSchema>
>;

/** A commit that was sent and not answered. */
interface Unsure<Context> {
  requestId: string;
  context: Context;
}

/** What a transaction gave, and what its work says of it. */
interface Done<Context> {
  results: OperationResult[];
  context: Context;
}

/** A transaction that is open. */
export class LockedTransaction<Context> {
  /** The commit that it sent. */
  sent: Unsure<Context> | undefined;
  readonly #messages: Messages;
  readonly #onLocked: () => Promise<void>;

  constructor(messages: Messages, onLocked: () => Promise<void>) {
    this.#messages = messages;
    this.#onLocked = onLocked;
  }

  async read(keys: readonly EntryKey[]): Promise<ReadState[]> {
    this.#messages.send({ message: { case: "read", value: { keys: [...keys] } } });
    const { message } = await answer(this.#messages, "read");
    await this.#onLocked();
    if (message.case !== "read") return [];
    return message.value.results.map(({ record }) => ({
      json: record?.valueJson,
      revision: record?.revision ?? "0",
    }));
  }

  /** Writes and commits. */
  async commit(operations: OperationInit[], context: Context): Promise<Done<Context>> {
    const requestId = randomUUID();
    this.sent = { requestId, context };
    if (operations.length > 0)
      this.#messages.send({ message: { case: "write", value: { operations } } });
    this.#messages.send({ message: { case: "commit", value: { requestId } } });
    const { message } = await answer(this.#messages, "committed");
    return { results: message.case === "committed" ? message.value.results : [], context };
  }
}

/** Ends an attempt whose work an earlier one has done. */
class Before<Context> extends Error {
  constructor(readonly done: Done<Context>) {
    super();
  }
}

/**
 * Does work in a transaction on the server, again where the server broke a circle of locks, and where the connection was lost. A commit
 * that was sent by then may yet be on its way: once the next attempt has locked what that one had locked, it is over, and the
 * attempt asks for it before it believes anything that it has read. Whatever else the work throws ends it, rolled back.
 */
export async function underLock<Context>(
  caller: Transport,
  deadline: Date,
  signal: AbortSignal | undefined,
  work: (locked: LockedTransaction<Context>) => Promise<Done<Context>>,
): Promise<Done<Context>> {
  const open = [] as Unsure<Context>[];
  const ask = async () => {
    for (let one = open[0]; one; open.shift(), one = open[0]) {
      const results = await committed(caller, one.requestId, deadline, signal);
      if (results) throw new Before({ results, context: one.context });
    }
  };
  for (let failures = 0; ; ) {
    let messages: Messages | undefined;
    let locked: LockedTransaction<Context> | undefined;
    try {
      messages = await caller.conversation(MutableStore.method.transact, deadline, signal);
      messages.send({ message: { case: "begin", value: {} } });
      locked = new LockedTransaction(messages, ask);
      return await work(locked);
    } catch (error) {
      if (error instanceof Before) return error.done;
      const { sent } = locked ?? {};
      if (sent && !certainlyNot(error)) open.push(sent);
      const told = open.length > 0 ? unknown(error) : sent ? error : spared(error);
      await backOff(told, ++failures, Idempotency.IDEMPOTENT, deadline, signal, error);
    } finally {
      messages?.close();
    }
  }
}

/** An error while a commit is open: whatever it says of its own attempt, that one may have been applied. */
function unknown(error: unknown): unknown {
  if (!certainlyNot(error)) return error;
  const message = "whether the transaction was committed is not known";
  return new CortexError("UNAVAILABLE", message, { applied: "unknown" }, { cause: error });
}

/** An error from before anything was sent that could have been applied. */
function spared(error: unknown): unknown {
  if (certainlyNot(error) || !(error instanceof CortexError)) return error;
  const details = { ...error.details, applied: "no" };
  return new CortexError(error.code, error.message, details, { cause: error.cause });
}

/** The results of the transaction that was committed under the id; undefined where none was. */
async function committed(
  caller: Transport,
  requestId: string,
  deadline: Date,
  signal: AbortSignal | undefined,
): Promise<OperationResult[] | undefined> {
  const messages = await caller.conversation(MutableStore.method.transact, deadline, signal);
  try {
    messages.send({ message: { case: "begin", value: { requestId } } });
    const { message } = await answer(messages);
    return message.case === "committed" ? message.value.results : undefined;
  } finally {
    messages.close();
  }
}

/** The next answer; of a kind, the next one of that. */
async function answer(messages: Messages, kind?: string) {
  for (;;) {
    const response = await messages.next();
    if (!response) throw new CortexError("UNAVAILABLE", "the server ended the transaction");
    if (kind === undefined || response.message.case === kind) return response;
  }
}
