// What bounds a call in time, and what is sent again.
import { setTimeout as pause } from "node:timers/promises";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import type { ServiceError } from "@grpc/grpc-js";
import { CortexError, type ErrorCode, fromGrpc } from "./error.js";

const attemptsMax = 5;
const backoffMs = 50;
const backoffMsMax = 1000;

const ignore = () => {};

export function checkTimeout(timeoutMs: unknown): number {
  if (typeof timeoutMs === "number" && timeoutMs > 0 && timeoutMs <= 2 ** 31 - 1) return timeoutMs;
  const problem = `is not a number of milliseconds above 0: ${String(timeoutMs)}`;
  throw new CortexError("INVALID_CONFIG", `timeoutMs ${problem}`, { field: "timeoutMs", problem });
}

export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  const problem = "is not an AbortSignal";
  throw new CortexError("INVALID_CONFIG", `signal ${problem}`, { field: "signal", problem });
}

// Whatever else a call fails with, the server or the client refused it and nothing was changed.
const ambiguous = new Set<ErrorCode>([
  "UNAVAILABLE",
  "DATABASE_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
  "DATABASE_ERROR",
  "UNKNOWN",
]);

/** Whether a write that failed so was certainly not applied. */
export const certainlyNot = (error: unknown): boolean =>
  error instanceof CortexError &&
  (error.details.applied === "no" ||
    (!ambiguous.has(error.code) && error.details.applied !== "unknown"));

// What refuses a call before it is looked whether its request was made before: of an earlier attempt it says nothing.
const early = new Set<ErrorCode>(["UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_CONFIG"]);

/** An error of a later attempt, where an earlier one may have been applied. */
export function unsure(error: unknown): unknown {
  if (!(error instanceof CortexError)) return error;
  if (error.details.applied !== "no" && !early.has(error.code)) return error;
  const details = { ...error.details, applied: "unknown" };
  return new CortexError(error.code, error.message, details, { cause: error.cause });
}

/** Waits before the next attempt; fails with the error where the last one allows none. */
export async function backOff(
  error: unknown,
  failures: number,
  idempotency: Idempotency,
  deadline: Date,
  signal: AbortSignal | undefined,
  last: unknown = error,
): Promise<void> {
  const again =
    last instanceof CortexError && failures < attemptsMax && repeatable(last, idempotency);
  const asked = last instanceof CortexError ? Number(last.details.retry_after_ms ?? 0) : 0; // by the server
  const wait = asked + Math.random() * Math.min(backoffMs * 2 ** failures, backoffMsMax); // full jitter
  if (!again || Date.now() + wait >= deadline.getTime()) throw error;
  await pause(wait, undefined, { signal }).catch(() => {
    throw cancelled(signal);
  });
}

/** What may be sent again: what certainly was not applied, and what may be applied twice. */
function repeatable(error: CortexError, idempotency: Idempotency): boolean {
  if (error.code === "CANCELLED") return false; // its caller wants no more of it
  if (error.code === "QUOTA_EXCEEDED") return false; // it takes somebody to delete something
  if (error.code === "CONFLICT" || error.details.applied === "no") return true;
  return (
    (error.code === "UNAVAILABLE" || error.code === "DATABASE_UNAVAILABLE") &&
    idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN
  );
}

/** What a stream gives next, unless the time is up or the caller gives up first. */
export function within<T>(
  deadline: Date,
  signal: AbortSignal | undefined,
  next: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  next.catch(ignore); // where the signal has aborted, nobody else looks at it
  const given = abortable<T>(signal, ignore, (resolve, reject) => {
    const late = new CortexError("DEADLINE_EXCEEDED", "the call ran out of time");
    timer = setTimeout(() => reject(late), deadline.getTime() - Date.now());
    next.then(resolve, (error: CortexError | ServiceError) =>
      reject(error instanceof CortexError ? error : fromGrpc(error)),
    );
  });
  return given.finally(() => clearTimeout(timer));
}

/** A promise that fails with CANCELLED when the signal aborts, whatever becomes of the work. */
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
