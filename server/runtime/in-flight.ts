// The calls in flight, and the cancellation of each.
import { CortexError } from "../errors/reasons.js";

/**
 * Ends a call early, with a reason. Its AbortSignal is made only when asked for: most calls need none, and
 * making one is not cheap.
 */
export class CallCancellation {
  #reason: CortexError | undefined;
  #controller: AbortController | undefined;
  #listener: (() => void) | undefined;

  /** Why the call was cancelled; undefined while it was not. */
  get reason(): CortexError | undefined {
    return this.#reason;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  cancel(reason: CortexError): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#listener?.();
    this.#controller?.abort(reason);
  }

  /** Sets the one listener that is called on cancellation; undefined removes it. */
  listen(listener: (() => void) | undefined): void {
    this.#listener = listener;
  }
}

export class InFlight {
  readonly #calls = new Set<CallCancellation>();
  /** Those of the calls that wait for what others do. */
  readonly #waiting = new Set<CallCancellation>();
  #isStopping = false;
  #onIdle: (() => void) | undefined;

  open(waits = false): CallCancellation {
    const call = new CallCancellation();
    this.#calls.add(call);
    if (waits) this.#waiting.add(call);
    if (waits && this.#isStopping) call.cancel(shuttingDown());
    return call;
  }

  /** How many there are. */
  get size(): number {
    return this.#calls.size;
  }

  has(call: CallCancellation): boolean {
    return this.#calls.has(call);
  }

  close(call: CallCancellation): void {
    this.#calls.delete(call);
    this.#waiting.delete(call);
    if (this.#calls.size === 0) this.#onIdle?.();
  }

  /** Resolves when no call is in flight. */
  drained(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Cancels the calls that wait for what others do, also later ones: the server stops. */
  endWaiting(): void {
    this.#isStopping = true;
    for (const call of this.#waiting) call.cancel(shuttingDown());
  }

  /** Cancels every call at shutdown. A call that has already changed something still answers. */
  abort(): void {
    for (const call of this.#calls) call.cancel(shuttingDown());
  }
}

const shuttingDown = () => new CortexError("SHUTTING_DOWN", { applied: "no" });
