// Builds the events of a feature: names with the schemas of their data.
import { type ErrorCode, refused } from "../core/error.js";
import { text } from "../core/validate.js";
import type { EventSchema, EventSchemas, NoEvents } from "./event-types.js";

/** The events of one namespace. */
export interface StoreEvents<
  Namespace extends string = string,
  Schemas extends EventSchemas = EventSchemas,
> {
  readonly namespace: Namespace;
  readonly events: Schemas;
}

/** Adds events to a namespace, or to a group within it. Each call gives a new builder. */
class Builder<Schemas extends EventSchemas> {
  constructor(readonly events: Schemas) {}

  protected with<Name extends string, One extends EventSchema | EventSchemas>(
    name: Name,
    one: One,
  ): Schemas & { readonly [K in Name]: One } {
    segment(name, "name", "INVALID_CHANNEL");
    if (Object.hasOwn(this.events, name)) throw twice("event", name);
    return { ...this.events, [name]: one } as Schemas & { readonly [K in Name]: One };
  }

  protected groupOf<Group extends EventSchemas>(
    build: (group: EventGroup<NoEvents>) => EventGroup<Group>,
  ): Group {
    const group = build(new EventGroup({}));
    if (group instanceof EventGroup) return group.events;
    throw refused("INVALID_CONFIG", "build", "does not return the group");
  }
}

/** The events of a group. */
export class EventGroup<Schemas extends EventSchemas> extends Builder<Schemas> {
  /** Adds an event. Throws as `CortexStoreEvents`. */
  event<Name extends string, Schema extends EventSchema>(
    name: Name,
    schema: Schema,
  ): EventGroup<Schemas & { readonly [K in Name]: Schema }> {
    return new EventGroup(this.with(name, checked(name, schema)));
  }

  /** Adds a group of events. */
  group<Name extends string, Group extends EventSchemas>(
    name: Name,
    build: (group: EventGroup<NoEvents>) => EventGroup<Group>,
  ): EventGroup<Schemas & { readonly [K in Name]: Group }> {
    return new EventGroup(this.with(name, this.groupOf(build)));
  }
}

/** The events of a namespace. */
export class EventNamespace<
  Namespace extends string,
  Schemas extends EventSchemas,
> extends Builder<Schemas> {
  constructor(
    readonly namespace: Namespace,
    events: Schemas,
  ) {
    super(events);
  }

  /** Adds an event. Throws as `CortexStoreEvents`. */
  event<Name extends string, Schema extends EventSchema>(
    name: Name,
    schema: Schema,
  ): EventNamespace<Namespace, Schemas & { readonly [K in Name]: Schema }> {
    return new EventNamespace(this.namespace, this.with(name, checked(name, schema)));
  }

  /** Adds a group of events: `user:notifications:email` is the event `email` of the group `notifications`. */
  group<Name extends string, Group extends EventSchemas>(
    name: Name,
    build: (group: EventGroup<NoEvents>) => EventGroup<Group>,
  ): EventNamespace<Namespace, Schemas & { readonly [K in Name]: Group }> {
    return new EventNamespace(this.namespace, this.with(name, this.groupOf(build)));
  }

  /** The events, for `addEvents`. */
  build(): StoreEvents<Namespace, Schemas> {
    return { namespace: this.namespace, events: this.events };
  }
}

/**
 * Events with schemas.
 *
 * A name has no white space, `:`, `.` or `*`, and does not begin with `__`.
 *
 * @throws CortexError INVALID_NAMESPACE, INVALID_CHANNEL, INVALID_CONFIG (a name is added twice, or the schema is none
 * of Standard Schema).
 *
 * ```ts
 * const UserEvents = CortexStoreEvents.create("user")
 *   .event("created", z.object({ id: z.string() }))
 *   .group("notifications", (group) => group.event("email", z.object({ to: z.string() })))
 *   .build();
 * ```
 */
export const CortexStoreEvents = {
  create<Namespace extends string>(namespace: Namespace): EventNamespace<Namespace, NoEvents> {
    return new EventNamespace(checkNamespace(namespace), {});
  },
};

/** Checks the name of a namespace. `publish` and `subscribe` are methods of `store.events`. */
export function checkNamespace<T extends string>(namespace: T): T {
  segment(namespace, "namespace", "INVALID_NAMESPACE");
  if (namespace === "publish" || namespace === "subscribe")
    throw refused("INVALID_NAMESPACE", "namespace", `is reserved: ${namespace}`);
  return namespace;
}

/** Checks the events of a namespace, however they were made. */
export function checkSchemas(schemas: unknown, path = "events"): void {
  if (typeof schemas !== "object" || schemas === null)
    throw refused("INVALID_CONFIG", path, "are no events of CortexStoreEvents");
  for (const [name, one] of Object.entries(schemas)) {
    segment(name, "name", "INVALID_CHANNEL");
    if (!isSchema(one)) checkSchemas(one, `${path}.${name}`);
  }
}

function segment(name: unknown, field: string, code: ErrorCode): void {
  if (text(name, field, code) === "") throw refused(code, field, "is empty");
  if (/[\s:.*]|^__/.test(name as string))
    throw refused(code, field, `has white space, ":", "." or "*", or begins with "__": ${name}`);
}

function checked<Schema extends EventSchema>(name: string, schema: Schema): Schema {
  if (isSchema(schema)) return schema;
  throw refused("INVALID_CONFIG", name, "has no schema of Standard Schema");
}

export const isSchema = (value: unknown): value is EventSchema =>
  ((typeof value === "object" && value !== null) || typeof value === "function") &&
  typeof (value as Partial<EventSchema>)["~standard"]?.validate === "function";

export const twice = (field: string, name: string) =>
  refused("INVALID_CONFIG", field, `is added twice: ${name}`);
