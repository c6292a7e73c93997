// A store: kv, counters, claims, batches, events and streams of a service, within a path of scopes and actors.
import type { ScopeStep } from "../core/call-options.js";
import { refused } from "../core/error.js";
import { scopeStep } from "../core/scope.js";
import { keyText } from "../core/validate.js";
import { agentBytesMax } from "../scopes/scope.js";
import {
  Batches,
  bound,
  Counters,
  DevTools,
  KeyValues,
  StoreClaims,
  StoreStreams,
} from "./areas.js";
import type { Backend, OpenBackend } from "./backend.js";
import type { EventRegistry, IsUnion } from "./event-types.js";
import { type EventsOf, eventsOf, type Registered } from "./events.js";
import { fullName, type Space, spaces } from "./names.js";
import { Operations, type StoreLogger, type StoreTelemetry } from "./telemetry.js";

/** What the builder has collected. */
export interface StoreConfig {
  readonly open: OpenBackend;
  readonly service: string;
  /** The keys of scopes, and whether each is required. Empty: any key. */
  readonly scopes: ReadonlyMap<string, { readonly required: boolean }>;
  readonly actors: ReadonlySet<string>;
  readonly events: Registered;
  readonly telemetry: StoreTelemetry | undefined;
  readonly logger: StoreLogger | undefined;
}

/** The keys that `scope` takes: those of `addScope`; if there are none, any. */
type ScopeKey<Scopes extends string> = [Scopes] extends [never] ? string : Scopes;

/** A store whose path lacks scopes that are required: it has no parts, only what leads to them. */
export type ScopedStore<
  Events extends EventRegistry,
  Scopes extends string,
  Required extends string,
  Actors extends string,
> = Pick<Store<Events, Scopes, Required, Actors>, "scope" | "actor" | "key" | "path" | "logger">;

/** A store, as far as its path has all scopes that are required. */
export type StoreOf<
  Events extends EventRegistry,
  Scopes extends string,
  Required extends string,
  Actors extends string,
> = [Required] extends [never]
  ? Store<Events, Scopes, Required, Actors>
  : ScopedStore<Events, Scopes, Required, Actors>;

/**
 * The store of a service, within a path. Made by `CortexStore.create()`.
 *
 * Reading one of its parts (`kv`, `events`, …) throws INVALID_SCOPE while a required scope is missing.
 */
export class Store<
  Events extends EventRegistry = EventRegistry,
  Scopes extends string = string,
  Required extends string = never,
  Actors extends string = string,
> {
  readonly #config: StoreConfig;
  readonly #operations: Operations;
  #backend: Backend | undefined;
  readonly #parts = new Map<unknown, object>();
  #events: EventsOf<Events> | undefined;

  constructor(
    config: StoreConfig,
    /** The scopes and actors, the outermost first. */
    readonly path: readonly ScopeStep[] = Object.freeze([]),
    readonly agent?: string,
  ) {
    this.#config = config;
    const { service, telemetry, logger } = config;
    const last = path.at(-1);
    const attributes = {
      "ctx.store.service": service,
      ...(last && { "ctx.store.scope_key": last.key, "ctx.store.scope_depth": path.length }),
    };
    this.#operations = new Operations(attributes, telemetry, logger);
  }

  /** Values by key. */
  get kv(): KeyValues {
    return this.#part(KeyValues);
  }

  /** Numbers by key. */
  get counter(): Counters {
    return this.#part(Counters);
  }

  /** Keys that one caller at a time gets. */
  get claim(): StoreClaims {
    return this.#part(StoreClaims);
  }

  /** Several values at once. */
  get batch(): Batches {
    return this.#part(Batches);
  }

  /** Messages to whoever listens: by channel, or `store.events.user.created.publish(…)`. */
  get events(): EventsOf<Events> {
    this.#events ??= eventsOf<Events>(this.#config.events, this.#open(), this.#operations);
    return this.#events;
  }

  /** Logs of entries. */
  get streams(): StoreStreams {
    return this.#part(StoreStreams);
  }

  /** Tools for development. */
  get dev(): DevTools {
    return this.#part(DevTools);
  }

  /** What `withLogger` was given. */
  get logger(): StoreLogger | undefined {
    return this.#config.logger;
  }

  /**
   * The store within a scope: all names there are its own.
   *
   * @param key One of `addScope`; without any `addScope`, any text.
   * @param identifier A number is taken as its text.
   * @throws CortexError INVALID_SCOPE: the key is not known, or one of them is empty.
   */
  scope<Key extends ScopeKey<Scopes>>(
    key: Key,
    identifier: string | number,
  ): StoreOf<
    Events,
    Scopes,
    IsUnion<Key> extends true ? Required : Exclude<Required, Key>,
    Actors
  > {
    const { scopes, actors } = this.#config;
    const step = this.#step(key, identifier);
    if (actors.has(step.key)) throw refused("INVALID_SCOPE", "key", `is that of an actor: ${key}`);
    if (scopes.size > 0 && !scopes.has(step.key))
      throw refused("INVALID_SCOPE", "key", `is none of ${[...scopes.keys()].join(", ")}: ${key}`);
    return this.#within(step, this.agent);
  }

  /**
   * The store of an actor: a step of the path, as a scope is, whose writes are recorded as this actor's
   * (`updatedBy: "agent:a-7"`).
   *
   * @param key One of `addActor`.
   * @param identifier A number is taken as its text.
   * @throws CortexError INVALID_SCOPE: the key is not known, or one of them is empty.
   */
  actor(key: Actors, identifier: string | number): StoreOf<Events, Scopes, Required, Actors> {
    const step = this.#step(key, identifier);
    const { actors } = this.#config;
    if (actors.size === 0)
      throw refused("INVALID_SCOPE", "key", "is unknown: there is no addActor");
    if (!actors.has(step.key))
      throw refused("INVALID_SCOPE", "key", `is none of ${[...actors].join(", ")}: ${key}`);
    return this.#within(step, agentOf(step));
  }

  /**
   * The full name of a key: `igniter:store:<service>[:<scope>:<identifier>…]:<space>:<key>`. A `:` within a service, a
   * scope or an identifier is written as `%3A`.
   */
  key(space: Space, key: string): string {
    if (!isSpace(space))
      throw refused(
        "INVALID_OPTIONS",
        "space",
        `is none of ${spaces.join(", ")}: ${String(space)}`,
      );
    return fullName(this.#config.service, this.path, space, keyText(key));
  }

  /** A part of the store: made once. Its methods can be taken out of it. */
  #part<Part extends object>(Kind: new (backend: Backend, operations: Operations) => Part): Part {
    const backend = this.#open();
    const known = this.#parts.get(Kind) as Part | undefined;
    if (known) return known;
    const part = bound(new Kind(backend, this.#operations));
    this.#parts.set(Kind, part);
    return part;
  }

  #open(): Backend {
    if (this.#backend) return this.#backend;
    const { scopes, service, open } = this.#config;
    for (const [key, { required }] of scopes)
      if (required && !this.path.some((step) => step.key === key))
        throw refused("INVALID_SCOPE", "scope", `is required: ${key}`);
    this.#backend = open(service, this.path, this.agent);
    return this.#backend;
  }

  #step(key: string, identifier: string | number): ScopeStep {
    if (typeof identifier === "number" && !Number.isFinite(identifier))
      throw refused("INVALID_SCOPE", "identifier", `is no number: ${identifier}`);
    const step = scopeStep(key, typeof identifier === "number" ? String(identifier) : identifier);
    if (step.key.trim() === "" || step.identifier.trim() === "")
      throw refused("INVALID_SCOPE", step.key.trim() === "" ? "key" : "identifier", "is blank");
    if (isSpace(step.key)) throw refused("INVALID_SCOPE", "key", `is reserved: ${key}`);
    return step;
  }

  #within(step: ScopeStep, agent: string | undefined): any {
    return new Store(this.#config, Object.freeze([...this.path, Object.freeze(step)]), agent);
  }
}

/** Reserved: the full name of a key in such a scope could be that of another key. */
export const isSpace = (key: string): boolean => (spaces as readonly string[]).includes(key);

/** The id of an actor as an agent: printable ASCII, in which other characters and `%` are percent-encoded. */
function agentOf({ key, identifier }: ScopeStep): string {
  const id = `${key}:${identifier}`.replace(/[^\x21-\x24\x26-\x7e]/gu, encodeURIComponent);
  if (id.length <= agentBytesMax) return id;
  const problem = `has more than ${agentBytesMax} bytes with its key, percent-encoded`;
  throw refused("INVALID_SCOPE", "identifier", `${problem}: ${identifier.slice(0, 80)}`);
}
