// Subscriptions: reading the events of a pattern, and calling a handler for each.
import { Events as EventsService } from "../../gen/cortex/events/v1/events_pb.js";
import { CortexError } from "../core/error.js";
import { checkSignal, checkTimeout, linked } from "../core/retry.js";
import type { Transport } from "../core/transport.js";
import { callNames, rejectUnknown, text } from "../core/validate.js";
import { type EventEnvelope, toEnvelope } from "./event.js";

/** The options of `events.stream`. */
export interface StreamOptions {
  /** Called each time that it has subscribed again. Events between the old and the new subscription are missed. */
  onResubscribe?: (() => void) | undefined;
  /** Ends it. A stream then fails with CANCELLED. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for which it tries to reach a server before it fails. Default: 60000. */
  timeoutMs?: number | undefined;
}

/** The options of `events.subscribe`. */
export interface SubscribeOptions extends Omit<StreamOptions, "timeoutMs"> {
  /**
   * Called with what the handler throws, and with each error of the subscription. After EVENTS_MISSED and errors that
   * are `retryable`, such as UNAVAILABLE after a minute without a server, it goes on; after others it has ended.
   * EVENTS_MISSED: the handler was so slow that more than 10 000 events or 16 MiB waited for it (`details.missed`: how
   * many, if it is known). Default: a warning of the process.
   */
  onError?: ((error: unknown) => void) | undefined;
  /** Milliseconds until `subscribe` fails if it cannot begin. Default: the client's `timeoutMs`. */
  timeoutMs?: number | undefined;
}

/** Called for each event. A promise that it returns is awaited before the next event. */
export type EventHandler<T = any> = (event: EventEnvelope<T>) => unknown;

export const patternText = (value: unknown) => text(value, "pattern", "INVALID_CHANNEL");

export function checkStream<T extends StreamOptions>(options: T, what: string): T {
  const more = what === "subscribe" ? ["onError"] : [];
  rejectUnknown(options, ["onResubscribe", ...more, ...callNames], "INVALID_OPTIONS", what);
  checkSignal(options.signal);
  if (options.timeoutMs !== undefined) checkTimeout(options.timeoutMs);
  return options;
}

/** The events of the channels that match the pattern. `onBegin` is called when it has subscribed first. */
export async function* envelopes<T>(
  transport: Transport,
  pattern: string,
  { onResubscribe, signal, timeoutMs, beginMs }: StreamOptions & { beginMs?: number },
  onBegin?: () => void,
): AsyncGenerator<EventEnvelope<T>, void, undefined> {
  let asked = 0;
  let begun = 0;
  const request = () => {
    asked++;
    return { pattern };
  };
  const { subscribe } = EventsService.method;
  const options = { signal, timeoutMs, ...(beginMs !== undefined && { beginMs }) };
  for await (const { events } of transport.endless(subscribe, request, options)) {
    if (begun < asked) (begun === 0 ? onBegin : onResubscribe)?.(); // the first message of the call
    begun = asked;
    for (const event of events) yield toEnvelope<T>(event, transport.json, transport.scope.at(-1));
  }
}

export class Subscription {
  /** Resolves when it has begun; fails if it cannot begin. */
  readonly begun: Promise<void>;
  readonly #ending = new AbortController();

  constructor(
    transport: Transport,
    pattern: string,
    readonly handler: EventHandler,
    readonly options: SubscribeOptions,
  ) {
    patternText(pattern);
    if (typeof handler !== "function") {
      const problem = "is not a function";
      throw new CortexError("INVALID_OPTIONS", `handler ${problem}`, { field: "handler", problem });
    }
    const { signal, timeoutMs = transport.timeoutMs } = checkStream(options, "subscribe");
    const { signal: ending, unlink } = linked([this.#ending.signal, signal], () => {});
    const reading = { beginMs: timeoutMs, signal: ending };
    this.begun = new Promise((resolve, reject) => {
      this.#run(transport, pattern, reading, resolve).catch(reject).finally(unlink);
    });
  }

  end(): void {
    this.#ending.abort();
  }

  /** Goes on until it is ended. Fails if it could not begin. */
  async #run(
    transport: Transport,
    pattern: string,
    reading: { beginMs: number; signal: AbortSignal },
    begin: () => void,
  ): Promise<void> {
    const { signal } = reading;
    const onResubscribe = () => this.#calling(() => this.options.onResubscribe?.());
    for (let begun = false; ; ) {
      const onBegin = () => {
        if (begun) void onResubscribe();
        begun = true;
        begin();
      };
      const options = begun ? { signal, onResubscribe } : { ...reading, onResubscribe };
      try {
        for await (const event of envelopes(transport, pattern, options, onBegin)) {
          if (signal.aborted) break;
          await this.#calling(() => this.handler(event));
        }
      } catch (error) {
        if (!begun) throw error;
        if (signal.aborted || isClosed(error)) return;
        this.#tell(error);
        if (!goesOn(error)) return;
      }
    }
  }

  /** Calls a function of the caller. What it throws is told. */
  async #calling(call: () => unknown): Promise<void> {
    try {
      await call();
    } catch (error) {
      this.#tell(error);
    }
  }

  #tell(error: unknown): void {
    try {
      const { onError = warn } = this.options;
      onError(error);
    } catch (thrown) {
      warn(thrown);
    }
  }
}

const warn = (error: unknown) =>
  process.emitWarning(error instanceof Error ? error : String(error));

const goesOn = (error: unknown): boolean =>
  error instanceof CortexError && (error.code === "EVENTS_MISSED" || error.retryable);

const isClosed = (error: unknown): boolean =>
  error instanceof CortexError && error.code === "CANCELLED";
