import { CortexError } from "./errors.js";

/** The calls in flight, for the drain. */
export class InFlight {
  readonly #controllers = new Set<AbortController>();
  #idle: (() => void) | undefined;

  open(): AbortController {
    const controller = new AbortController();
    this.#controllers.add(controller);
    return controller;
  }

  has(controller: AbortController): boolean {
    return this.#controllers.has(controller);
  }

  close(controller: AbortController): void {
    this.#controllers.delete(controller);
    if (this.#controllers.size === 0) this.#idle?.();
  }

  /** Resolves when no call is in flight. */
  drained(): Promise<void> {
    if (this.#controllers.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** Ends them all: each was cancelled before it changed anything, or answers. */
  abort(): void {
    const reason = new CortexError("SHUTTING_DOWN", { applied: "no" });
    for (const controller of this.#controllers) controller.abort(reason);
  }
}
