// Runs transaction(). The callback runs on the values that have been read so far; if it needs more, they are
// fetched and it runs again. Its writes go out in one commit, on the condition that nothing that it read has
// changed. If others write first twice, it locks the keys that it reads.
import { MutableStore, type OperationResult } from "../../../gen/cortex/mutable/v1/mutable_pb.js";
import type { WriteOptions } from "../../core/call-options.js";
import { CortexError, refused, withCallerStack } from "../../core/error.js";
import type { Json } from "../../core/json.js";
import { checkSignal, checkTimeout } from "../../core/retry.js";
import type { Transport } from "../../core/transport.js";
import { flag, rejectUnknown, writeNames } from "../../core/validate.js";
import { type ImmutableRecord, toImmutableRecord } from "../../immutable/versions.js";
import type { Contention } from "../contention.js";
import { type MutableRecord, toRecord } from "../records.js";
import { type Operation, toOperations } from "./operations.js";
import { type Callback, TransactionRunner } from "./transaction-runner.js";

export type {
  Transaction,
  TransactionEntry,
  TransactionListOptions,
} from "./callback.js";
export type { Operation } from "./operations.js";

export interface TransactionOptions extends WriteOptions {
  /** How many attempts it makes before it fails because others wrote first each time. Default: 10. */
  maxAttempts?: number | undefined;
  /**
   * If true, `transaction` returns the results of the writes together with the value of the callback. If
   * false, it returns only the value, if the callback returns one. Default: false.
   */
  withResults?: boolean | undefined;
}

/**
 * The outcome of a transaction whose callback returns T: that value. If the callback returns nothing, the
 * results of its writes.
 */
export type TransactionOutcome<T> = T extends void ? TransactionResult : T;

export interface TransactionResult {
  success: true;
  /** How many writes were made. */
  operationsExecuted: number;
  /**
   * The record of each write, in order; for a delete, its result; for an event, its channel; for entries of a
   * stream, their ids.
   */
  results: (
    | MutableRecord
    | ImmutableRecord
    | { deleted: boolean; namespace: string; key: string }
    | { published: string }
    | { appended: string[] }
  )[];
}

export class Transactions {
  constructor(
    readonly transport: Transport,
    readonly contention: Contention,
  ) {}

  async run(work: Callback | readonly Operation[], options: TransactionOptions): Promise<unknown> {
    rejectUnknown(
      options,
      [...writeNames, "maxAttempts", "withResults"],
      "INVALID_OPTIONS",
      "transaction",
    );
    const { maxAttempts = 10, timeoutMs = this.transport.timeoutMs } = options;
    const withResults = flag(options.withResults ?? false, "withResults");
    if (!Number.isInteger(maxAttempts) || maxAttempts < 1)
      throw invalid("INVALID_OPTIONS", "maxAttempts", "is not a whole number above 0");
    if (Array.isArray(work)) return this.#list(work as readonly Operation[], options);
    if (typeof work !== "function")
      throw invalid("INVALID_OPERATIONS", "work", "is neither a function nor a list of operations");
    if (options.requestId !== undefined)
      throw invalid("INVALID_OPTIONS", "requestId", "means nothing for a callback");
    const deadline = new Date(Date.now() + checkTimeout(timeoutMs));
    const { signal } = options;
    checkSignal(signal);
    const { transport, contention } = this;
    const callback = work as Callback;
    const attempts = new TransactionRunner(
      transport,
      contention,
      callback,
      deadline,
      signal,
      maxAttempts,
    );
    try {
      const { results, value } = await attempts.run();
      if (withResults) return { ...toResult(results, this.transport.json), value };
      return value === undefined ? toResult(results, this.transport.json) : value;
    } catch (error) {
      throw withCallerStack(transactionError(error, timeoutMs, attempts.sent));
    }
  }

  async #list(list: readonly Operation[], options: TransactionOptions): Promise<TransactionResult> {
    const operations = toOperations(list, this.transport.json);
    const { timeoutMs = this.transport.timeoutMs, signal, requestId } = options;
    const commitOptions = { timeoutMs, signal, requestId };
    try {
      const { commit } = MutableStore.method;
      const { results } = await this.transport.write(commit, { operations }, commitOptions);
      return toResult(results, this.transport.json);
    } catch (error) {
      throw withCallerStack(transactionError(error, timeoutMs, true));
    }
  }
}

function toResult(results: OperationResult[], json: Json): TransactionResult {
  return {
    success: true,
    operationsExecuted: results.length,
    results: results.map(({ result }) => {
      if (result.case === "stored") return toImmutableRecord(result.value, json);
      if (result.case === "published") return { published: result.value.channel };
      if (result.case === "appended") return { appended: result.value.ids };
      if (result.case !== "deleted") return toRecord(result.value, json);
      const { deleted, namespace, key } = result.value;
      return { deleted, namespace, key };
    }),
  };
}

/** The error that the caller of the transaction gets. */
function transactionError(error: unknown, timeoutMs: number, sent: boolean): unknown {
  if (!(error instanceof CortexError)) return error;
  const { code, message, details } = error;
  if (code === "DEADLINE_EXCEEDED" || code === "TRANSACTION_TIMEOUT") {
    const applied = details.applied ?? (sent ? "unknown" : "no");
    const late = `the transaction did not end within ${timeoutMs} ms`;
    return new CortexError("TRANSACTION_TIMEOUT", late, { applied }, { cause: error });
  }
  if (code === "TRANSACTION_FAILED" || details.operation_index === undefined) return error;
  // The operation itself was invalid, for example its value was too large.
  const more = { ...details, reason: code };
  return new CortexError("TRANSACTION_FAILED", message, more, { cause: error });
}

const invalid = (code: "INVALID_OPTIONS" | "INVALID_OPERATIONS", field: string, problem: string) =>
  refused(code, field, problem);
