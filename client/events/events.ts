// The client of Events: messages to whoever listens at that moment.
import { Events as EventsService } from "../../gen/cortex/events/v1/events_pb.js";
import type { WriteOptions } from "../core/call-options.js";
import type { Transport } from "../core/transport.js";
import { listed, rejectUnknown, writeNames } from "../core/validate.js";
import { type EventEnvelope, type EventOptions, type EventToPublish, eventInit } from "./event.js";
import {
  checkStream,
  type EventHandler,
  envelopes,
  patternText,
  type StreamOptions,
  type SubscribeOptions,
  Subscription,
} from "./subscription.js";

const rpc = EventsService.method;

/** The options of `events.publish`. */
export interface PublishOptions extends WriteOptions, EventOptions {}

/**
 * Events: a message on a channel goes to all who are subscribed at that moment, on any server. Each of them gets it
 * at most once, and nobody gets it later. What must not be missed is to be watched (`mutable.watch`), or read from a
 * store.
 *
 * A channel has segments, which `:` joins: `user:created`. In a pattern `*` stands for any one segment, and `**` at
 * its end for one segment or more.
 */
export class Events {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Publishes an event.
   *
   * @param channel 1 to 512 bytes of UTF-8: segments that `:` joins, without `*` and control characters.
   * @param data Any JSON value up to 64 KiB.
   * @returns How many matching subscriptions the answering process has. Those on other processes are not counted.
   * @throws INVALID_CHANNEL, INVALID_VALUE, VALUE_TOO_LARGE, VALUE_TOO_DEEP, INVALID_USER_ID, USER_NOT_FOUND,
   * FENCE_STALE, WATCH_DISABLED, OVERLOADED (the tenant has published too much within the last seconds).
   *
   * ```ts
   * await cortex.events.publish("user:created", { id: "user-1" });
   * ```
   */
  async publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<number> {
    rejectUnknown(options, ["userId", ...writeNames], "INVALID_OPTIONS", "publish");
    const { userId, ...rest } = options;
    const request = { events: [eventInit({ channel, data, userId })] };
    return (await this.#transport.write(rpc.publish, request, rest)).receivers;
  }

  /**
   * Publishes up to 1000 events, all or none of them. Subscribers get them together, in the order of the list. An
   * empty list does nothing.
   *
   * @returns The sum of what `publish` would return of each.
   * @throws INVALID_BATCH, and as `publish`.
   */
  async publishMany(
    events: readonly EventToPublish[],
    options: WriteOptions = {},
  ): Promise<number> {
    rejectUnknown(options, writeNames, "INVALID_OPTIONS", "publishMany");
    const list = listed(events, "events");
    const request = { events: list.map((event, i) => eventInit(event, `events[${i}].`)) };
    return (await this.#transport.write(rpc.publish, request, options)).receivers;
  }

  /**
   * Calls a function for each event of the channels that match a pattern, one after the other: a promise that it
   * returns is awaited. The subscription goes on until it is ended: after a lost connection it is made anew, and what
   * was published meanwhile is missed.
   *
   * @returns Once the subscription has begun, a function that ends it. Events that are published after that come.
   * @throws INVALID_CHANNEL, INVALID_OPTIONS, WATCH_DISABLED, OVERLOADED (too many subscriptions and watches),
   * UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED.
   *
   * ```ts
   * const unsubscribe = await cortex.events.subscribe("user:*", ({ type, data }) => console.log(type, data));
   * ```
   */
  async subscribe<T = any>(
    pattern: string,
    handler: EventHandler<T>,
    options: SubscribeOptions = {},
  ): Promise<() => void> {
    const subscription = new Subscription(this.#transport, pattern, handler, options);
    await subscription.begun;
    return () => subscription.end();
  }

  /**
   * Gives the events of the channels that match a pattern. It subscribes when the first event is asked for; events
   * that are published before the server has done so do not come. If that matters, use `subscribe`, which says when it
   * has begun. After a lost connection it goes on, and what was published meanwhile is missed: `onResubscribe` says so.
   *
   * @throws INVALID_CHANNEL, WATCH_DISABLED, OVERLOADED, UNAVAILABLE, CANCELLED; EVENTS_MISSED (`details.missed`: how
   * many, if it is known) if the loop is so slow that more than 10 000 events or 16 MiB wait for it.
   *
   * ```ts
   * for await (const { type, data, timestamp } of cortex.events.stream("user:**")) …
   * ```
   */
  stream<T = any>(
    pattern: string,
    options: StreamOptions = {},
  ): AsyncGenerator<EventEnvelope<T>, void, undefined> {
    return envelopes<T>(this.#transport, patternText(pattern), checkStream(options, "stream"));
  }
}
