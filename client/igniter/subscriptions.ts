// The subscriptions of an adapter, by channel and callback.
import type { Events } from "../events/events.js";

type Callback = (message: any) => unknown;
type End = () => void;

export class Subscriptions {
  readonly #byChannel = new Map<string, Map<Callback, Promise<End>>>();

  constructor(readonly events: Events) {}

  /** Resolves once it has begun. The same callback is called once for each message of the channel. */
  async add(channel: string, callback: Callback): Promise<void> {
    const callbacks = this.#byChannel.get(channel) ?? new Map<Callback, Promise<End>>();
    this.#byChannel.set(channel, callbacks);
    const begun =
      callbacks.get(callback) ?? this.events.subscribe(channel, ({ data }) => callback(data));
    callbacks.set(callback, begun);
    try {
      await begun;
    } catch (error) {
      this.#forget(channel, callback, begun);
      throw error;
    }
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
