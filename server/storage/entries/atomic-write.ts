// A write of one call: operations on entries that are all applied or all refused.
import type { Call } from "../../grpc/call.js";
import type { Amounts } from "../../runtime/quotas.js";
import type { Guard } from "../claims/guard.js";
import type { IdempotencyKey } from "../idempotency.js";
import { requestLockName } from "../locks.js";
import type { Write } from "../write-path.js";
import { entryName } from "./entry.js";
import type { Operation } from "./operation.js";

export interface AtomicWrite extends Write {
  agent: string | undefined;
  principal: string | undefined;
  operations: Operation[];
  /** Largest value that it may leave, and largest reply, in bytes of UTF-8. */
  valueBytesMax: number;
  replyBytesMax: number;
  /** The most value and metadata, in bytes, that an operation keeps in the stored reply. */
  contentMax: number;
  /**
   * For a transaction, how many of the operations are preconditions; a refusal is then TRANSACTION_FAILED.
   * undefined for any other write.
   */
  preconditions: number | undefined;
}

export function atomicWrite(
  { caller: { tenant, agent, principal }, server: { config, replies } }: Call,
  operations: Operation[],
  idempotencyKey: IdempotencyKey | undefined,
  { guard, preconditions }: { guard?: Guard | undefined; preconditions?: number } = {},
): AtomicWrite {
  const keys = operations.map(entryName);
  // A write of one operation may share its key with other such writes in a batch. A write of several
  // operations shares none of its keys.
  const batchable = operations.length === 1;
  const conflictKeys = (batchable ? keys : [...new Set(keys)]).map((name) => ({ name, batchable }));
  if (idempotencyKey)
    conflictKeys.push({ name: requestLockName(tenant, idempotencyKey.id), batchable: false });
  let weight = 0;
  const adds: Amounts = { keys: 0, bytes: 0, versions: 0, pending: 0 }; // at most: the statement knows which keys are new
  for (const { kind, argument = "", metadata } of operations) {
    // An append, a merge or an expire gives back the whole value, which may be large. Every 8 KiB of argument weigh 1
    // more.
    weight +=
      (kind === "append" || kind === "merge" || kind === "expire" ? 8 : 1) +
      Math.floor(argument.length / 8192);
    if (kind === "check" || kind === "delete" || kind === "expire") continue;
    adds.keys++;
    adds.bytes += Buffer.byteLength(argument) + Buffer.byteLength(metadata ?? "{}");
  }
  return {
    tenant,
    agent,
    principal,
    operations,
    idempotencyKey,
    guard,
    preconditions,
    valueBytesMax: config.valueBytesMax,
    replyBytesMax: config.messageBytesMax,
    contentMax: replies.contentMax(tenant),
    keys,
    conflictKeys,
    weight,
    adds,
  };
}
