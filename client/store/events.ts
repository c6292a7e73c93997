// The events of a store: by names and patterns, and by the proxy of those that have schemas.
import { CortexError, refused } from "../core/error.js";
import { rejectUnknown, text } from "../core/validate.js";
import type { Backend } from "./backend.js";
import { isSchema } from "./event-schemas.js";
import type {
  EventContext,
  EventContextHandler,
  EventNames,
  EventOf,
  EventProxy,
  EventPublishOptions,
  EventRegistry,
  EventSchema,
  EventSchemas,
  Publishable,
  Subscribable,
  Unsubscribe,
} from "./event-types.js";
import type { Operations, StoreAttributes } from "./telemetry.js";

/** How the events of a namespace are validated. */
export interface EventValidation {
  /** True to validate what is published: what the schema gives is sent. Default: true. */
  validatePublish?: boolean | undefined;
  /** True to validate what subscribers get: they are called with what the schema gives. Default: false. */
  validateSubscribe?: boolean | undefined;
  /**
   * True: what does not match fails with INVALID_VALUE, and subscribers do not get it. False: it is published, and they
   * get it, as it is, and the logger is told. Default: true.
   */
  throwOnValidationError?: boolean | undefined;
}

/** The events of a store. */
export interface StoreEventsApi<Registry> {
  /**
   * Publishes an event to all who are subscribed in the same place, the same service and path, at that moment.
   *
   * @param channel `namespace:name`, or any channel whose namespace has no schemas.
   * @throws INVALID_CHANNEL (also if the namespace has schemas, but none for this channel), INVALID_VALUE (with
   * `details.issues`, if the schema found some), VALUE_TOO_LARGE.
   */
  publish<Channel extends string>(
    channel: Channel | EventNames<Registry>,
    data: Publishable<Registry, Channel>,
    options?: EventPublishOptions,
  ): Promise<void>;
  /**
   * Calls a function for each event, one after the other. `*` stands for one segment of a channel, `**` at the end for
   * the rest. What the handler throws goes to the logger. Resolves once it has begun.
   *
   * @returns A function that ends it.
   */
  subscribe<Pattern extends string>(
    pattern: Pattern & Subscribable<Registry, Pattern>,
    handler: EventContextHandler<EventOf<Registry, Pattern>>,
  ): Promise<Unsubscribe>;
}

export type EventsOf<Registry> = StoreEventsApi<Registry> & EventProxy<Registry>;

/** The schemas of a namespace, and how they are used. */
export interface NamespaceEvents {
  schemas: EventSchemas;
  validation: EventValidation;
}

export type Registered = ReadonlyMap<string, NamespaceEvents>;

export function eventsOf<Registry extends EventRegistry>(
  registered: Registered,
  backend: Backend,
  operations: Operations,
): EventsOf<Registry> {
  const events = new Events(registered, backend, operations);
  const proxy = Object.fromEntries(
    [...registered].map(([namespace, { schemas }]) => [
      namespace,
      events.proxy(schemas, namespace),
    ]),
  );
  const api = {
    publish: events.publish.bind(events),
    subscribe: events.subscribe.bind(events),
  };
  return Object.freeze({ ...proxy, ...api }) as unknown as EventsOf<Registry>;
}

class Events {
  constructor(
    readonly registered: Registered,
    readonly backend: Backend,
    readonly operations: Operations,
  ) {}

  async publish(channel: string, data: unknown, options: EventPublishOptions = {}): Promise<void> {
    const attributes = this.#attributes(channel);
    return this.operations.run("events.publish", attributes, async () => {
      rejectUnknown(options, ["userId"], "INVALID_OPTIONS", "publish");
      const registered = this.#registered(channelText(channel, "channel"));
      if (channel.includes("*")) throw refused("INVALID_CHANNEL", "channel", "has a wildcard");
      const isValidated = registered?.validation.validatePublish ?? true;
      const value = registered && isValidated ? await this.#valid(registered, channel, data) : data;
      await this.backend.publish(channel, value, options.userId);
    });
  }

  async subscribe(pattern: string, handler: EventContextHandler): Promise<Unsubscribe> {
    const attributes = this.#attributes(pattern);
    const end = await this.operations.run("events.subscribe", attributes, () => {
      this.#registered(channelText(pattern, "pattern"));
      if (typeof handler !== "function")
        throw refused("INVALID_OPTIONS", "handler", "is not a function");
      return this.backend.subscribe(
        pattern,
        async (context) => handler(await this.#received(context)),
        (error) => this.operations.warn(`a subscription to ${pattern} failed`, error),
      );
    });
    return () => this.operations.run("events.unsubscribe", attributes, end);
  }

  proxy(schemas: EventSchemas, path: string): object {
    const accessors = Object.entries(schemas).map(([name, one]) => {
      const channel = `${path}:${name}`;
      if (!isSchema(one)) return [name, this.proxy(one, channel)];
      const accessor = {
        publish: (data: unknown, options?: EventPublishOptions) =>
          this.publish(channel, data, options),
        subscribe: (handler: EventContextHandler) => this.subscribe(channel, handler),
      };
      return [name, accessor];
    });
    return Object.freeze(Object.fromEntries(accessors));
  }

  /** A channel with a schema is a name of the program; any other may hold a key. */
  #attributes(channel: unknown): StoreAttributes {
    const isText = typeof channel === "string";
    return {
      "ctx.store.namespace": "events",
      ...(isText && this.#find(channel) && { "ctx.events.channel": channel }),
      ...(isText && { "ctx.events.wildcard": channel.includes("*") }),
    };
  }

  /** The event with what its schema gives, if received events are validated. */
  async #received(context: EventContext): Promise<EventContext> {
    const registered = this.#find(context.type);
    if (!registered?.validation.validateSubscribe) return context;
    return { ...context, data: await this.#valid(registered, context.type, context.data) };
  }

  /** The schema of a channel, and how it is used. undefined: its namespace has no schemas, or it is a pattern. */
  #registered(channel: string) {
    const found = this.#find(channel);
    const [namespace = ""] = channel.split(":");
    if (found || channel.includes("*") || !this.registered.has(namespace)) return found;
    const problem = `has no schema in the namespace ${namespace}`;
    throw refused("INVALID_CHANNEL", "channel", `${problem}: ${channel}`);
  }

  #find(channel: string): { schema: EventSchema; validation: EventValidation } | undefined {
    const [namespace = "", ...names] = channel.split(":");
    const registered = this.registered.get(namespace);
    let found: EventSchema | EventSchemas | undefined = registered?.schemas;
    for (const name of names) {
      const group: EventSchemas = isSchema(found) || !found ? {} : found;
      found = Object.hasOwn(group, name) ? group[name] : undefined;
    }
    return registered && isSchema(found)
      ? { schema: found, validation: registered.validation }
      : undefined;
  }

  async #valid(
    { schema, validation }: { schema: EventSchema; validation: EventValidation },
    channel: string,
    data: unknown,
  ): Promise<unknown> {
    const result = await schema["~standard"].validate(data);
    if (!result.issues) return withoutUndefined(result.value);
    const error = invalidData(channel, result.issues);
    if (validation.throwOnValidationError ?? true) throw error;
    this.operations.warn(`an event on ${channel} does not match its schema`, error);
    return data;
  }
}

/** JSON has no undefined: an optional member that is undefined is left out. */
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== "object" || value === null) return value;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, one]) =>
      one === undefined ? [] : [[name, withoutUndefined(one)]],
    ),
  );
}

type Issues = readonly {
  message: string;
  path?: readonly (PropertyKey | { key: PropertyKey })[] | undefined;
}[];

function invalidData(channel: string, issues: Issues): CortexError {
  const [first] = issues;
  const keys = (first?.path ?? []).map((step) =>
    String(typeof step === "object" ? step.key : step),
  );
  const path = ["data", ...keys].join(".");
  const problem = first?.message ?? "does not match its schema";
  return new CortexError("INVALID_VALUE", `${path} of the event ${channel}: ${problem}`, {
    path,
    problem,
    channel,
    issues,
  });
}

function channelText(channel: unknown, field: string): string {
  if (text(channel, field, "INVALID_CHANNEL") !== "") return channel as string;
  throw refused("INVALID_CHANNEL", field, "is empty");
}
