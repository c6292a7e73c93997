// One call of update(fn) that waits for its turn, and its outcome.
import type { CallOptions } from "../core/transport.js";
import type { MutableRecord } from "./records.js";

export interface UpdateOptions extends CallOptions {
  /** Whether a missing key is created: the updater is then called with null. Default: it is KEY_NOT_FOUND. */
  createIfMissing?: boolean | undefined;
}

export type Updater<T = any> = (current: T) => T | Promise<T>;

export interface UpdateRequest {
  namespace: string;
  key: string;
  updater: Updater;
  options: UpdateOptions;
}

export interface PendingUpdate extends UpdateRequest {
  /** Until when its caller waits, in milliseconds of Date.now(). */
  deadline: number;
  /** How often somebody else wrote first. */
  losses: number;
  /** Whether its new value has been sent: then it may have been written. */
  sent: boolean;
  /** Whether its caller has an answer. */
  settled: boolean;
  resolve(record: MutableRecord): void;
  reject(error: unknown): void;
  /** Called when it is settled while its updater is still running. */
  onSettled: (() => void) | undefined;
}

/** Gives the caller its answer, unless it has one. */
export function settle(update: PendingUpdate, answer: () => void): void {
  if (update.settled) return;
  update.settled = true;
  answer();
  update.onSettled?.();
}

/** What an updater made of the state before: a new value as JSON text, or an error. */
export type Computed =
  | { update: PendingUpdate; json: string }
  | { update: PendingUpdate; error: unknown };
