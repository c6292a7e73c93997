// The subscriptions of an adapter, by channel and callback.
import { CortexError } from "../core/error.js";
import type { Events } from "../events/events.js";
import { channelOf } from "./channels.js";

const warn = (error: unknown) =>
  process.emitWarning(error instanceof Error ? error : String(error));

type Callback = (message: any) => unknown;
type End = () => void;

export class Subscriptions {
  readonly #byChannel = new Map<string, Map<Callback, Promise<End>>>();

  constructor(readonly events: Events) {}

  /** Resolves once it has begun. The same callback is called once for each message of the channel. */
  async add(channel: string, callback: Callback): Promise<void> {
    const callbacks = this.#byChannel.get(channel) ?? new Map<Callback, Promise<End>>();
    this.#byChannel.set(channel, callbacks);
    const begun = callbacks.get(callback) ?? this.#begin(channel, callback);
    callbacks.set(callback, begun);
    try {
      await begun;
    } catch (error) {
      this.#forget(channel, callback, begun);
      throw error;
    }
  }

  /** As on Redis, no message waits for the callback of the one before. */
  #begin(channel: string, callback: Callback): Promise<End> {
    const begun = this.events.subscribe(
      channelOf(channel),
      ({ data }) => {
        (async () => callback(data))().catch(warn);
      },
      {
        onError: (error) => {
          const goesOn =
            error instanceof CortexError && (error.retryable || error.code === "EVENTS_MISSED");
          if (!goesOn) this.#forget(channel, callback, begun); // a new call begins anew
          warn(error);
        },
      },
    );
    return begun;
  }

  /** Ends the subscription of a callback; without one, all of the channel. */
  async remove(channel: string, callback?: Callback): Promise<void> {
    const callbacks = this.#byChannel.get(channel);
    const ending = callback ? [callback] : [...(callbacks?.keys() ?? [])];
    for (const one of ending) {
      const begun = callbacks?.get(one);
      this.#forget(channel, one, begun);
      await begun?.then(
        (end) => end(),
        () => {}, // it has not begun: `add` has thrown
      );
    }
  }

  #forget(channel: string, callback: Callback, begun: Promise<End> | undefined): void {
    const callbacks = this.#byChannel.get(channel);
    if (!callbacks || callbacks.get(callback) !== begun) return;
    callbacks.delete(callback);
    if (callbacks.size === 0) this.#byChannel.delete(channel);
  }
}
