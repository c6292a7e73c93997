// Builds a store: each call gives a new builder, whose type knows what was added.
import { refused } from "../core/error.js";
import { rejectUnknown, text } from "../core/validate.js";
import { Surface } from "../scopes/scope.js";
import type { StoreAdapter } from "./adapter.js";
import { inAdapter } from "./adapter-backend.js";
import type { OpenBackend } from "./backend.js";
import { checkNamespace, checkSchemas, type StoreEvents, twice } from "./event-schemas.js";
import type { EventRegistry, EventSchemas, NoEvents } from "./event-types.js";
import type { EventValidation, NamespaceEvents } from "./events.js";
import { placeName } from "./names.js";
import { onServer } from "./server-backend.js";
import { isSpace, Store, type StoreConfig, type StoreOf } from "./store.js";
import type { StoreLogger, StoreTelemetry } from "./telemetry.js";

const namespaceBytesMax = 256;

type Collected = Omit<StoreConfig, "open" | "service"> & {
  readonly open?: OpenBackend;
  readonly service?: string;
};

/** Builds a store. Every method gives a new builder and leaves this one as it is. */
export class StoreBuilder<
  Events extends EventRegistry = NoEvents,
  Scopes extends string = never,
  Required extends string = never,
  Actors extends string = never,
> {
  readonly #collected: Collected;

  constructor(collected: Collected) {
    this.#collected = collected;
  }

  /** Keeps the data on a server: in the tenant of a client, or in a scope of it. */
  withClient(client: Surface): StoreBuilder<Events, Scopes, Required, Actors> {
    if (!(client instanceof Surface))
      throw refused("INVALID_CONFIG", "client", "is neither a Cortex nor a scope of one");
    return new StoreBuilder({ ...this.#collected, open: onServer(client) });
  }

  /** Keeps the data in an adapter, instead of `withClient`. */
  withAdapter(adapter: StoreAdapter): StoreBuilder<Events, Scopes, Required, Actors> {
    for (const method of methods)
      if (typeof adapter?.[method] !== "function")
        throw refused("INVALID_CONFIG", "adapter", `has no ${method}`);
    return new StoreBuilder({ ...this.#collected, open: inAdapter(adapter) });
  }

  /** The service: its names are its own. Any text that is not blank. */
  withService(service: string): StoreBuilder<Events, Scopes, Required, Actors> {
    if (text(service, "service", "INVALID_CONFIG").trim() === "")
      throw refused("INVALID_CONFIG", "service", "is blank");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: names have none
    if (/[\u0000-\u001f\u007f-\u009f]/.test(service))
      throw refused("INVALID_CONFIG", "service", "has a control character");
    if (Buffer.byteLength(placeName(service, [], "streams")) > namespaceBytesMax)
      throw refused("INVALID_CONFIG", "service", "is too long for a namespace of 256 bytes");
    return new StoreBuilder({ ...this.#collected, service });
  }

  /**
   * Adds a key of scopes. Once there is one, `scope` takes no other keys. With `required`, the store has its parts only
   * within such a scope.
   *
   * @throws CortexError INVALID_CONFIG: the key is added twice; INVALID_SCOPE: it is empty, or kv, counter, claim, events
   * or streams.
   */
  addScope<Key extends string, Is extends boolean = false>(
    key: Key,
    options: { required?: Is } = {},
  ): StoreBuilder<Events, Scopes | Key, Is extends true ? Required | Key : Required, Actors> {
    rejectUnknown(options, ["required"], "INVALID_CONFIG", "addScope");
    const { required = false } = options;
    if (typeof required !== "boolean")
      throw refused("INVALID_CONFIG", "required", "is not true or false");
    const scopes = new Map(this.#collected.scopes).set(this.#newKey(key), { required });
    return new StoreBuilder({ ...this.#collected, scopes });
  }

  /** Adds a key of actors, such as `agent`. Throws as `addScope`. */
  addActor<Key extends string>(key: Key): StoreBuilder<Events, Scopes, Required, Actors | Key> {
    const actors = new Set(this.#collected.actors).add(this.#newKey(key));
    return new StoreBuilder({ ...this.#collected, actors });
  }

  /**
   * Adds events with schemas: see `CortexStoreEvents`.
   *
   * @throws CortexError INVALID_CONFIG: the namespace is added twice; INVALID_NAMESPACE.
   */
  addEvents<Namespace extends string, Schemas extends EventSchemas>(
    events: StoreEvents<Namespace, Schemas>,
    validation: EventValidation = {},
  ): StoreBuilder<Events & { readonly [K in Namespace]: Schemas }, Scopes, Required, Actors> {
    rejectUnknown(validation, validationNames, "INVALID_CONFIG", "addEvents");
    const namespace = checkNamespace(events?.namespace);
    if (this.#collected.events.has(namespace)) throw twice("namespace", namespace);
    for (const name of validationNames) {
      const given = validation[name as keyof EventValidation];
      if (given !== undefined && typeof given !== "boolean")
        throw refused("INVALID_CONFIG", name, "is not true or false");
    }
    checkSchemas(events.events);
    const added: NamespaceEvents = { schemas: events.events, validation: { ...validation } };
    const all = new Map(this.#collected.events).set(namespace, added);
    return new StoreBuilder({ ...this.#collected, events: all });
  }

  /** Tells it of every operation: see `StoreTelemetry`. */
  withTelemetry(telemetry: StoreTelemetry): StoreBuilder<Events, Scopes, Required, Actors> {
    if (typeof telemetry?.emit !== "function" && typeof telemetry?.span !== "function")
      throw refused("INVALID_CONFIG", "telemetry", "has neither emit nor span");
    return new StoreBuilder({ ...this.#collected, telemetry });
  }

  /** Tells it what goes wrong where no caller can be told: in the handlers of events, and in telemetry. */
  withLogger(logger: StoreLogger): StoreBuilder<Events, Scopes, Required, Actors> {
    if (typeof logger?.warn !== "function")
      throw refused("INVALID_CONFIG", "logger", "has no warn");
    return new StoreBuilder({ ...this.#collected, logger });
  }

  /** @throws CortexError INVALID_CONFIG: there is no service, or neither a client nor an adapter. */
  build(): StoreOf<Events, Scopes, Required, Actors> {
    const { open, service } = this.#collected;
    if (!open) throw refused("INVALID_CONFIG", "store", "has neither a client nor an adapter");
    if (service === undefined) throw refused("INVALID_CONFIG", "store", "has no service");
    return new Store<Events, Scopes, never, Actors>({ ...this.#collected, open, service }) as any;
  }

  #newKey(key: string): string {
    if (text(key, "key", "INVALID_SCOPE").trim() === "")
      throw refused("INVALID_SCOPE", "key", "is blank");
    if (isSpace(key)) throw refused("INVALID_SCOPE", "key", `is reserved: ${key}`);
    const { scopes, actors } = this.#collected;
    if (scopes.has(key) || actors.has(key)) throw twice("key", key);
    return key;
  }
}

const validationNames = ["validatePublish", "validateSubscribe", "throwOnValidationError"];

/** What a store calls of any adapter. */
const methods = [
  "get",
  "set",
  "remove",
  "exists",
  "expire",
  "mget",
  "mset",
  "incrby",
  "publish",
  "subscribe",
  "unsubscribe",
  "scan",
] as const satisfies (keyof StoreAdapter)[];

/**
 * The typed store of a service, on top of a client: values, counters, claims, events and streams under one naming, with
 * scopes, actors and schemas of events that TypeScript checks.
 *
 * ```ts
 * const store = CortexStore.create()
 *   .withClient(cortex)
 *   .withService("my-api")
 *   .addScope("organization", { required: true })
 *   .addEvents(UserEvents)
 *   .build();
 * const org = store.scope("organization", "org_123");
 * await org.kv.set("theme", "dark", { ttl: 3600 });
 * await org.events.user.created.publish({ id: "user-1" });
 * ```
 */
export const CortexStore = {
  create: (): StoreBuilder =>
    new StoreBuilder({
      scopes: new Map(),
      actors: new Set(),
      events: new Map(),
      telemetry: undefined,
      logger: undefined,
    }),
};
