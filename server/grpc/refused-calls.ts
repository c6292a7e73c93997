// Calls that were refused for their credentials. They count against their connection and address (call-guard.ts),
// and leave a line in the log each, up to a bound: whoever has no credentials must not fill the disk.
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import type { CortexError } from "../errors/reasons.js";
import type { Telemetry } from "../telemetry/telemetry.js";
import type { Listener } from "./listener.js";

const windowMs = 10_000;
const linesMax = 100; // in a window

/** Bounds the lines of one kind. */
class Lines {
  #written = 0;
  #left = 0;

  constructor(
    readonly log: Logger,
    readonly what: string,
  ) {}

  write(write: () => void): void {
    if (this.#written === 0) setTimeout(() => this.#endWindow(), windowMs).unref();
    if (++this.#written <= linesMax) write();
    else this.#left++;
  }

  #endWindow(): void {
    if (this.#left > 0)
      this.log.info({ calls: this.#left, seconds: windowMs / 1000 }, `more calls ${this.what}`);
    this.#written = 0;
    this.#left = 0;
  }
}

export class RefusedCalls {
  readonly #ofStrangers: Lines;
  /** Strangers must not keep these out of the log. */
  readonly #ofPrincipals: Lines;

  constructor(
    readonly config: Pick<Config, "auditLog">,
    readonly log: Logger,
    readonly listener: Pick<Listener, "refused">,
    readonly telemetry?: Telemetry | undefined,
  ) {
    this.#ofStrangers = new Lines(log, "had no valid credentials");
    this.#ofPrincipals = new Lines(log, "reached beyond their credentials");
  }

  /** Notes a call that was refused before it reached a handler, so that nothing else logs it. */
  unauthenticated(path: string, { reason, details, cause }: CortexError, peer: string): void {
    this.listener.refused(peer);
    this.telemetry?.refused(reason);
    const { problem } = details;
    if (reason !== "UNAUTHENTICATED")
      this.#ofStrangers.write(() =>
        this.log.warn({ err: cause, outcome: reason }, "credentials could not be checked"),
      );
    else if (this.config.auditLog !== "none")
      this.#ofStrangers.write(() =>
        this.log.info({ rpc: path.slice(1), outcome: reason, problem, peer }, "audit"),
      );
  }

  /** Notes a call of a principal that was refused, and logs its line if there is one. */
  beyondCredentials(peer: string, line: object | false): void {
    this.listener.refused(peer);
    if (line) this.#ofPrincipals.write(() => this.log.info(line, "audit"));
  }
}
