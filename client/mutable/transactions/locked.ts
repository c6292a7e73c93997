// A transaction that is open on the server (Transact). The keys that it has read stay locked until it ends.
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
import type { ClaimGuard, Conversation } from "../../core/call-options.js";
import { CortexError } from "../../core/error.js";
import { backOff, certainlyNot } from "../../core/retry.js";
import type { Transport } from "../../core/transport.js";

export interface EntryKey {
  namespace: string;
  key: string;
}

/** The state of a key as it was read. `json` is undefined if nothing is stored. */
export interface ReadState {
  json: string | undefined;
  revision: string;
}

/** A list of the entries of a prefix. */
export interface ListRequest {
  namespace: string;
  keyPrefix?: string;
  limit: number;
}

/** The keys and lists that were read so far. The callback can see them. */
export interface Seen {
  keys: ReadonlyMap<string, ReadState>;
  /** The keys of each list, by `listName`. */
  lists: ReadonlyMap<string, readonly string[]>;
}

export const listName = ({ namespace, keyPrefix = "", limit }: ListRequest): string =>
  `${namespace}\0${limit}\0${keyPrefix}`;

export const keyName = ({ namespace, key }: EntryKey): string => `${namespace}\0${key}`;

/** The order of keys in the database. */
export const bytewise = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

export type OperationInit = MessageInitShape<typeof OperationSchema>;

type Messages = Conversation<
  MessageInitShape<typeof TransactRequestSchema>,
  MessageShape<typeof TransactResponseSchema>
>;

/** A commit that was sent. */
interface SentCommit<Context> {
  requestId: string;
  context: Context;
}

/** The results of a transaction, with the context that its work gave to the commit. */
interface Done<Context> {
  results: OperationResult[];
  context: Context;
}

/** A transaction that is open. */
export class LockedTransaction<Context> {
  /** The commit, once it was sent. */
  sent: SentCommit<Context> | undefined;
  readonly #messages: Messages;
  readonly #onLocked: () => Promise<void>;
  readonly #guard: ClaimGuard | undefined;

  constructor(messages: Messages, onLocked: () => Promise<void>, guard: ClaimGuard | undefined) {
    this.#guard = guard;
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

  /** Lists entries and locks them; nobody can create a key in the namespace until the transaction ends. */
  async list(list: ListRequest): Promise<(ReadState & EntryKey)[]> {
    this.#messages.send({ message: { case: "list", value: list } });
    const { message } = await answer(this.#messages, "list");
    await this.#onLocked();
    if (message.case !== "list") return [];
    return message.value.records.map(({ namespace, key, valueJson, revision }) => ({
      namespace,
      key,
      json: valueJson,
      revision,
    }));
  }

  /** Writes the operations, and commits. */
  async commit(operations: OperationInit[], context: Context): Promise<Done<Context>> {
    const requestId = randomUUID();
    this.sent = { requestId, context };
    if (operations.length > 0)
      this.#messages.send({ message: { case: "write", value: { operations } } });
    const value = { requestId, ...(this.#guard && { claim: this.#guard }) };
    this.#messages.send({ message: { case: "commit", value } });
    const { message } = await answer(this.#messages, "committed");
    return { results: message.case === "committed" ? message.value.results : [], context };
  }
}

/** Ends an attempt: an earlier attempt turns out to have committed. */
class EarlierCommit<Context> extends Error {
  constructor(readonly done: Done<Context>) {
    super();
  }
}

/**
 * Does work in a transaction on the server, and repeats it after a deadlock or a lost connection. A commit
 * that was sent before the connection was lost may still be running. Once the next attempt holds the same
 * locks, that commit has ended. So the next attempt asks for its outcome before it uses any value that it has
 * read. Any other error of the work rolls back.
 */
export async function underLock<Context>(
  transport: Transport,
  deadline: Date,
  signal: AbortSignal | undefined,
  work: (locked: LockedTransaction<Context>) => Promise<Done<Context>>,
): Promise<Done<Context>> {
  const openCommits = [] as SentCommit<Context>[];
  const ask = async () => {
    for (let one = openCommits[0]; one; openCommits.shift(), one = openCommits[0]) {
      const results = await committed(transport, one.requestId, deadline, signal);
      if (results) throw new EarlierCommit({ results, context: one.context });
    }
  };
  for (let failures = 0; ; ) {
    let messages: Messages | undefined;
    let locked: LockedTransaction<Context> | undefined;
    try {
      messages = await transport.conversation(MutableStore.method.transact, deadline, signal);
      messages.send({ message: { case: "begin", value: { scope: [...transport.scope] } } });
      locked = new LockedTransaction(messages, ask, transport.guard);
      return await work(locked);
    } catch (error) {
      if (error instanceof EarlierCommit) return error.done;
      const { sent } = locked ?? {};
      if (sent && !certainlyNot(error)) openCommits.push(sent);
      const told = openCommits.length > 0 ? asUnknown(error) : sent ? error : asNotApplied(error);
      await backOff(told, ++failures, Idempotency.IDEMPOTENT, deadline, signal, error);
    } finally {
      messages?.close();
    }
  }
}

/**
 * The error of an attempt if the outcome of an earlier commit is unknown: that commit may have been applied.
 */
function asUnknown(error: unknown): unknown {
  if (!certainlyNot(error)) return error;
  const message = "whether the transaction was committed is not known";
  return new CortexError("UNAVAILABLE", message, { applied: "unknown" }, { cause: error });
}

/** The error of an attempt that sent no commit: nothing was applied. */
function asNotApplied(error: unknown): unknown {
  if (certainlyNot(error) || !(error instanceof CortexError)) return error;
  const details = { ...error.details, applied: "no" };
  return new CortexError(error.code, error.message, details, { cause: error.cause });
}

/** The results of the transaction that was committed under the request id; undefined if none was. */
async function committed(
  transport: Transport,
  requestId: string,
  deadline: Date,
  signal: AbortSignal | undefined,
): Promise<OperationResult[] | undefined> {
  const messages = await transport.conversation(MutableStore.method.transact, deadline, signal);
  try {
    messages.send({
      message: { case: "begin", value: { requestId, scope: [...transport.scope] } },
    });
    const { message } = await answer(messages);
    return message.case === "committed" ? message.value.results : undefined;
  } finally {
    messages.close();
  }
}

/** The next answer of the server; with `kind`, the next answer of that kind. */
async function answer(messages: Messages, kind?: string) {
  for (;;) {
    const response = await messages.next();
    if (!response) throw new CortexError("UNAVAILABLE", "the server ended the transaction");
    if (kind === undefined || response.message.case === kind) return response;
  }
}
