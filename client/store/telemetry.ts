// Tells telemetry of the operations of a store: that they have started, and how they ended.
import { CortexError, messageOf } from "../core/error.js";

/** What is told of an operation. Never keys, values, users or tokens. */
export type StoreAttributes = Record<string, string | number | boolean>;

/** What `withTelemetry` takes: a manager of `@igniter-js/telemetry`, or `openTelemetry()` of `cortex-store/opentelemetry`. */
export interface StoreTelemetry {
  /**
   * Is told `igniter.store.kv.get.started`, then `.success` or `.error`, and so on for every operation. What it throws goes
   * to the logger.
   */
  emit?(name: string, event: { level: "debug" | "error"; attributes: StoreAttributes }): unknown;
  /** Runs an operation, such as `igniter.store.kv.get`, in a span of its own. `end` is called before it ends. */
  span?<T>(
    name: string,
    attributes: StoreAttributes,
    run: (end: EndSpan) => Promise<T>,
  ): Promise<T>;
}

/** Says how an operation has ended: `success` or `error`, with attributes. */
export type EndSpan = (outcome: "success" | "error", attributes: StoreAttributes) => void;

/**
 * What `withLogger` takes, such as `console`. It gets the errors that no call can return: those of event handlers and of
 * telemetry.
 */
export interface StoreLogger {
  warn(message: string, ...details: any[]): unknown;
}

/** Runs operations of a store. */
export class Operations {
  constructor(
    readonly attributes: StoreAttributes,
    readonly telemetry: StoreTelemetry | undefined,
    readonly logger: StoreLogger | undefined,
  ) {}

  /** Runs an operation. `told` gives the attributes of its result. */
  async run<T>(
    operation: string,
    attributes: StoreAttributes,
    work: () => T | Promise<T>,
    told: (result: T) => StoreAttributes = () => ({}),
  ): Promise<T> {
    if (!this.telemetry) return work();
    const known = { ...this.attributes, ...attributes };
    const run = async (end: EndSpan): Promise<T> => {
      this.#emit(`${operation}.started`, "debug", known);
      try {
        const result = await work();
        const outcome = told(result);
        this.#emit(`${operation}.success`, "debug", { ...known, ...outcome });
        end("success", outcome);
        return result;
      } catch (error) {
        const code = error instanceof CortexError ? error.code : (error as Error)?.name;
        const outcome = { "ctx.error.operation": operation, "ctx.error.code": String(code) };
        this.#emit(`${operation}.error`, "error", { ...known, ...outcome });
        end("error", outcome);
        throw error;
      }
    };
    const { telemetry } = this;
    return telemetry.span
      ? telemetry.span(`igniter.store.${operation}`, known, run)
      : run(() => {});
  }

  #emit(event: string, level: "debug" | "error", attributes: StoreAttributes): void {
    const threw = (error: unknown) => this.warn("the telemetry of a store threw", error);
    try {
      const told = this.telemetry?.emit?.(`igniter.store.${event}`, { level, attributes });
      Promise.resolve(told).catch(threw);
    } catch (error) {
      threw(error);
    }
  }

  /** Tells the logger; without one, the process. */
  warn(message: string, error: unknown): void {
    try {
      if (this.logger) {
        this.logger.warn(message, error);
        return;
      }
    } catch {
      // a logger that fails must fail no operation
    }
    process.emitWarning(`${message}: ${messageOf(error)}`);
  }
}
