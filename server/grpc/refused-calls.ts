// Calls that were refused for their credentials. They count against their connection and address (call-guard.ts),
// and leave a line in the log each, up to a bound: whoever has no credentials must not fill the disk.
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import type { CortexError } from "../errors/reasons.js";
import type { Listener } from "./listener.js";

const windowMs = 10_000;
const linesMax = 100; // in a window

export class RefusedCalls {
  #lines = 0;
  #left = 0;

  constructor(
    readonly config: Pick<Config, "auditLog">,
    readonly log: Logger,
    readonly listener: Pick<Listener, "refused">,
  ) {}

  /** Notes a call that was refused before it reached a handler, so that nothing else logs it. */
  unauthenticated(path: string, { reason, details, cause }: CortexError, peer: string): void {
    const { problem } = details;
    if (reason !== "UNAUTHENTICATED") {
      this.log.warn({ err: cause, outcome: reason }, "credentials could not be checked");
      return;
    }
    const isLogged = this.config.auditLog !== "none";
    this.note(peer, isLogged && { rpc: path.slice(1), outcome: reason, problem, peer });
  }

  /** Notes a refused call, and logs its line if there is one. */
  note(peer: string, line: object | false): void {
    this.listener.refused(peer);
    if (!line) return;
    if (this.#lines === 0) setTimeout(() => this.#sumUp(), windowMs).unref();
    if (++this.#lines <= linesMax) this.log.info(line, "audit");
    else this.#left++;
  }

  /** Ends the window. */
  #sumUp(): void {
    if (this.#left > 0)
      this.log.info({ calls: this.#left, seconds: windowMs / 1000 }, "more calls were refused");
    this.#lines = 0;
    this.#left = 0;
  }
}
