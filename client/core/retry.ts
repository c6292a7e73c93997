// The deadline of a call, its cancellation, and the rules for repeating it.
import { setMaxListeners } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import type { ServiceError } from "@grpc/grpc-js";
import { CortexError, fromGrpc, traitsOf, withCallerStack } from "./error.js";

const backoffMs = 50;
const backoffMsMax = 1000;

export const ignore = () => {};

const timeoutMsMax = 2_147_483_000; // 24.8 days: a timer cannot wait for longer

/** Checks `timeoutMs`, and shortens it to 24.8 days. Throws INVALID_CONFIG if it is not a number above 0. */
export function checkTimeout(timeoutMs: unknown): number {
  if (typeof timeoutMs === "number" && timeoutMs > 0) return Math.min(timeoutMs, timeoutMsMax);
  const problem = `is not a number of milliseconds above 0: ${String(timeoutMs)}`;
  throw new CortexError("INVALID_CONFIG", `timeoutMs ${problem}`, { field: "timeoutMs", problem });
}

export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  const problem = "is not an AbortSignal";
  throw new CortexError("INVALID_CONFIG", `signal ${problem}`, { field: "signal", problem });
}

/** True if a write that failed with this error was certainly not applied. */
export const certainlyNot = (error: unknown): boolean =>
  error instanceof CortexError &&
  (error.details.applied === "no" ||
    (!traitsOf(error.code).ambiguous && error.details.applied !== "unknown"));

/**
 * Corrects the error of a retry after an attempt that may have been applied. If the retry changed nothing, or
 * was refused before the server looked up the stored reply, its error says nothing about the earlier attempt.
 * So `applied` becomes `unknown`.
 */
function unsure(error: unknown): unknown {
  if (!(error instanceof CortexError)) return error;
  if (error.details.applied !== "no" && !traitsOf(error.code).beforeLookup) return error;
  const details = { ...error.details, applied: "unknown" };
  return new CortexError(error.code, error.message, details, { cause: error.cause });
}

/**
 * The error of an attempt that ran out of time after another attempt had failed: it names that failure, which
 * is the reason why the time ran out. Other errors stay as they are.
 */
function afterFailure(error: unknown, before: unknown): unknown {
  const isLate = error instanceof CortexError && error.code === "DEADLINE_EXCEEDED";
  if (!isLate || !(before instanceof CortexError)) return error;
  const message = `${before.message}; the call was repeated until it ran out of time`;
  const applied = certainlyNot(error) ? before.details.applied : "unknown";
  return new CortexError(before.code, message, { ...before.details, applied }, { cause: error });
}

const cutCodes = new Set<string>(["SLOW_READER", "DEADLINE_EXCEEDED"]);

/**
 * For streams without an end: turns SLOW_READER and DEADLINE_EXCEEDED (the server was silent) into UNAVAILABLE, so
 * that `backOff` lets them be opened again. So does the end of a token, if the caller may have a new one.
 */
export const asCut = (error: unknown, mayRenew: boolean): unknown =>
  error instanceof CortexError &&
  (cutCodes.has(error.code) || (mayRenew && error.code === "UNAUTHENTICATED"))
    ? new CortexError("UNAVAILABLE", error.message, error.details)
    : error;

export interface Linked {
  signal: AbortSignal;
  unlink(): void;
}

/**
 * A signal that aborts when one of these does, and then calls `onAbort`. `unlink` ends that. (AbortSignal.any leaves
 * something behind in a signal that lives for long.)
 */
export function linked(signals: (AbortSignal | undefined)[], onAbort: () => void): Linked {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  const abort = (event: Event) => {
    controller.abort((event.target as AbortSignal).reason);
    onAbort();
  };
  for (const signal of signals) {
    if (signal?.aborted) controller.abort(signal.reason);
    signal?.addEventListener("abort", abort, { once: true });
  }
  const unlink = () => {
    for (const signal of signals) signal?.removeEventListener("abort", abort);
  };
  return { signal: controller.signal, unlink };
}

/**
 * Waits before the next attempt. `last` is the error of the latest attempt. Throws `error`, the error that
 * the caller is to see, if there is no next attempt:
 * - `last` must not be retried.
 * - The deadline comes before the wait ends.
 */
export async function backOff(
  error: unknown,
  failures: number,
  idempotency: Idempotency,
  deadline: Date,
  signal: AbortSignal | undefined,
  last: unknown = error,
): Promise<void> {
  const again = last instanceof CortexError && mayRepeat(last, idempotency);
  // The pause that the server asks for.
  const asked = last instanceof CortexError ? Number(last.details.retry_after_ms ?? 0) : 0;
  const wait = asked + Math.random() * Math.min(backoffMs * 2 ** failures, backoffMsMax); // full jitter
  if (!again || Date.now() + wait >= deadline.getTime()) throw withCallerStack(error);
  await pause(wait, undefined, { signal }).catch(() => {
    throw cancelled(signal);
  });
}

/**
 * True if the failed call may be repeated. The reason of its error must be repeatable. And the call must be
 * one that certainly was not applied, or one that does no harm when it is applied twice.
 */
const mayRepeat = (error: CortexError, idempotency: Idempotency): boolean =>
  error.retryable &&
  traitsOf(error.code).repeatable &&
  (certainlyNot(error) || idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN);

/**
 * Waits for a promise, such as the next message of a stream. Fails with DEADLINE_EXCEEDED at the deadline,
 * and with CANCELLED when the signal aborts.
 */
export function within<T>(
  deadline: Date,
  signal: AbortSignal | undefined,
  next: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  next.catch(ignore); // nobody else handles its error if the signal has aborted
  const given = abortable<T>(signal, ignore, (resolve, reject) => {
    timer = setTimeout(
      () => reject(new CortexError("DEADLINE_EXCEEDED", "the call ran out of time")),
      deadline.getTime() - Date.now(),
    );
    next.then(resolve, (error: CortexError | ServiceError) =>
      reject(error instanceof CortexError ? error : fromGrpc(error)),
    );
  });
  return given.finally(() => clearTimeout(timer));
}

/** A promise that fails with CANCELLED as soon as the signal aborts, even if the work goes on. */
export function abortable<T>(
  signal: AbortSignal | undefined,
  cancel: () => void,
  run: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(cancelled(signal));
      cancel();
    };
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { once: true });
    const done =
      <A>(settle: (value: A) => void) =>
      (value: A) => {
        signal?.removeEventListener("abort", abort);
        settle(value);
      };
    run(done(resolve), done(reject));
  });
}

export const cancelled = (signal: AbortSignal | undefined) =>
  new CortexError("CANCELLED", "the call was cancelled", {}, { cause: signal?.reason });

/** Makes attempts until one succeeds, or fails for good. */
export async function retrying<T>(
  idempotency: Idempotency,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  attempt: (deadline: Date) => Promise<T>,
): Promise<T> {
  const deadline = new Date(Date.now() + checkTimeout(timeoutMs));
  let sure = true;
  let before: unknown;
  for (let failures = 0; ; ) {
    try {
      return await attempt(deadline);
    } catch (error) {
      const named = afterFailure(error, before);
      const told = sure ? named : unsure(named);
      sure &&= certainlyNot(error);
      before = error;
      await backOff(told, ++failures, idempotency, deadline, signal, error);
    }
  }
}
