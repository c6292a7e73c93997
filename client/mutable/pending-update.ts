// One call of update(fn) that waits for its turn, and its outcome.
import type { CallOptions, ClaimGuard } from "../core/call-options.js";
import type { MutableRecord } from "./records.js";

export interface UpdateOptions extends CallOptions {
  /**
   * If true, a missing key is created: the updater is called with null. Default: a missing key is
   * KEY_NOT_FOUND.
   */
  createIfMissing?: boolean | undefined;
  /** The claim that the caller must hold: see WriteOptions. Default: none. */
  claim?: ClaimGuard | undefined;
}

export type Updater<T = any> = (current: T) => T | Promise<T>;

export interface UpdateRequest {
  namespace: string;
  key: string;
  updater: Updater;
  options: UpdateOptions;
}

export interface PendingUpdate extends UpdateRequest {
  /** The time until which its caller waits, in milliseconds of Date.now(). */
  deadline: number;
  /** How often somebody else wrote first. */
  losses: number;
  /** True from sending a new value until it is certain that it was not written. */
  sent: boolean;
  /** True once its caller has an answer. */
  settled: boolean;
  resolve(record: MutableRecord): void;
  reject(error: unknown): void;
  /** Called if the update is settled while its updater is still running. */
  onSettled: (() => void) | undefined;
}

/** Gives the caller its answer, unless it has one. */
export function settle(update: PendingUpdate, answer: () => void): void {
  if (update.settled) return;
  update.settled = true;
  answer();
  update.onSettled?.();
}

/** The outcome of an updater: a new value as JSON text, or an error. */
export type Computed =
  | { update: PendingUpdate; json: string }
  | { update: PendingUpdate; error: unknown };
