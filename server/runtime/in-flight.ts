// The calls in flight, and how one of them may end before it is answered.
import { CortexError } from "../errors/reasons.js";

/** Says when a call is over before its time. Its signal is made for those who ask: most calls need none, and it is not cheap. */
export class CallCancellation {
  #reason: CortexError | undefined;
  #controller: AbortController | undefined;
  #listener: (() => void) | undefined;

  /** Why it ended; undefined while it goes on. */
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

  /** Calls one listener at its end, until another (or none) takes its place. */
  listen(listener: (() => void) | undefined): void {
    this.#listener = listener;
  }
}

export class InFlight {
  readonly #endings = new Set<CallCancellation>();
  #idle: (() => void) | undefined;

  open(): CallCancellation {
    const ending = new CallCancellation();
    this.#endings.add(ending);
    return ending;
  }

  has(ending: CallCancellation): boolean {
    return this.#endings.has(ending);
  }

  close(ending: CallCancellation): void {
    this.#endings.delete(ending);
    if (this.#endings.size === 0) this.#idle?.();
  }

  /** Resolves when no call is in flight. */
  drained(): Promise<void> {
    if (this.#endings.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** Ends them all: each was cancelled before it changed anything, or answers. */
  abort(): void {
    const reason = new CortexError("SHUTTING_DOWN", { applied: "no" });
    for (const ending of this.#endings) ending.cancel(reason);
  }
}
